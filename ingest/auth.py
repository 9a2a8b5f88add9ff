"""Who may call: anyone, or whoever has the one token, as `Bearer TOKEN` or as the password of `Basic`."""

import base64
import binascii
import hmac

CHALLENGE = 'Bearer realm="docker-scaler", Basic realm="docker-scaler"'


class Gate:
    """Compares what a caller shows with the token, in a time that says nothing about the token."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else _bytes(token)

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this `Authorization` header may pass."""
        if self._token is None:
            return True
        return hmac.compare_digest(_shown(authorization or ""), self._token)

    def user(self, authorization: str | None) -> str | None:
        """The name in a `Basic` login; None where it may be a secret: without a password beside it, or the token."""
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        if scheme.lower() != "basic":
            return None
        name, password = _login(_bytes(credentials.strip()))
        return name.decode("utf-8", "replace") if name and password and name != self._token else None


def _shown(authorization: str) -> bytes:
    """The token in the header; empty where there is none, and no token is empty."""
    scheme, _, credentials = authorization.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return _bytes(credentials.strip())
        case "basic":
            return _login(_bytes(credentials.strip()))[1]
        case _:
            return b""


def _login(credentials: bytes) -> tuple[bytes, bytes]:
    """Name and password, empty where there are none."""
    try:
        name, _, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return name, password


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
