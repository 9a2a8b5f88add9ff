"""Where the engine is, and how it is trusted: what DOCKER_HOST and DOCKER_CERT_PATH say, for the SDK and for aiohttp.

https://docs.docker.com/engine/security/protect-access/
"""

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from docker.tls import TLSConfig
from docker.utils import parse_host

from shared.causes import cause
from shared.settings import BadConfiguration

_UNIX = "http+unix://"
_AUTHORITY, _CERTIFICATE, _KEY = "ca.pem", "cert.pem", "key.pem"


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An address as DOCKER_HOST writes it, and with TLS the folder of certificates."""

    host: str
    certificates: Path | None = None
    _context: ssl.SSLContext | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises BadConfiguration where the certificates are missing or are none."""
        if self.certificates is not None:
            object.__setattr__(self, "_context", _trusting(self.certificates))

    def sdk_tls(self) -> TLSConfig | bool:
        """The SDK's argument `tls`. The engine must show a certificate that `ca.pem` has signed."""
        folder = self.certificates
        if folder is None:
            return False
        pair = (str(folder / _CERTIFICATE), str(folder / _KEY))
        return TLSConfig(client_cert=pair, ca_cert=str(folder / _AUTHORITY), verify=True)

    def reachable(self) -> tuple[str, aiohttp.BaseConnector]:
        """The base URL and the connector for aiohttp. Raises DockerException where the host makes no sense."""
        base = self._base()
        if base.startswith(_UNIX):
            return "http://docker", aiohttp.UnixConnector(path=base.removeprefix(_UNIX))
        return base, aiohttp.TCPConnector(ssl=self._context or True)

    def knock(self, seconds: float) -> None:
        """Raise OSError where nobody listens on a unix socket: the SDK would forget to close its own end of that."""
        base = self._base()
        if base.startswith(_UNIX):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(seconds)
                probe.connect(base.removeprefix(_UNIX))

    def _base(self) -> str:
        return str(parse_host(self.host, tls=self.certificates is not None))


def _trusting(folder: Path) -> ssl.SSLContext:
    """What the files allow: each is read, and the key must fit its certificate."""
    missing = [name for name in (_AUTHORITY, _CERTIFICATE, _KEY) if not (folder / name).is_file()]
    if missing:
        raise BadConfiguration([f"DOCKER_CERT_PATH: no {', '.join(missing)} in {folder}"])
    try:
        context = ssl.create_default_context(cafile=str(folder / _AUTHORITY))
        context.load_cert_chain(str(folder / _CERTIFICATE), str(folder / _KEY), password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        problem = f"DOCKER_CERT_PATH: {_AUTHORITY}, {_CERTIFICATE} and {_KEY} in {folder} do not make a TLS client"
        raise BadConfiguration([f"{problem} ({_ssl_words(error)})"]) from error
    return context


def _ssl_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return cause(error)
