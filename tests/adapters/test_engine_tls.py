"""An engine that is spoken to by TLS: calls and events, and whom they trust."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import Unavailable
from shared.settings import BadConfiguration
from tests.adapters.conftest import CALL
from worker.adapters.swarm import DockerSwarm


class Authority:
    """Signs the certificates of an engine and of its client."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self._own = self._signed(self._name, self._key, authority=True)

    def files(self, folder: Path) -> Path:
        """As `DOCKER_CERT_PATH` holds them: what this authority has signed, for 127.0.0.1."""
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "engine")])
        certificate = self._signed(name, key, authority=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "ca.pem").write_bytes(self._own.public_bytes(serialization.Encoding.PEM))
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(private)
        return folder

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        own, issuer = x509.SubjectKeyIdentifier.from_public_key, x509.AuthorityKeyIdentifier.from_issuer_public_key
        return (
            x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(own(key.public_key()), critical=False)
            .add_extension(issuer(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )


@asynccontextmanager
async def engine(files: Path) -> AsyncIterator[str]:
    """One that wants its clients' certificates too; its address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    app = web.Application()
    app.router.add_get("/version", _version)
    app.router.add_get("/v1.41/nodes", _nodes)
    app.router.add_get("/events", _events)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"tcp://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _version(_: web.Request) -> web.Response:
    return web.json_response({"ApiVersion": "1.41"})


async def _nodes(_: web.Request) -> web.Response:
    return web.json_response([])


async def _events(_: web.Request) -> web.Response:
    return web.Response(text='{"Type": "node"}\n')


async def test_calls_and_events_show_the_certificate_and_check_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Authority().files(tmp_path / "own")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority().files(tmp_path / "others") / "ca.pem"))
    async with engine(files) as host, DockerSwarm(host, CALL, files) as swarm:
        assert await swarm.nodes() == []
        async with swarm.changes() as changes:
            await anext(changes)


async def test_an_engine_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    theirs, own = Authority().files(tmp_path / "theirs"), Authority().files(tmp_path / "own")
    async with engine(theirs) as host, DockerSwarm(host, CALL, own) as swarm:
        with pytest.raises(Unavailable, match=r"^Docker: the certificate is not trusted: "):
            await swarm.nodes()
        with pytest.raises(Unavailable, match=r"^Docker events: cannot connect .* \(the certificate is not trusted"):
            async with swarm.changes():
                pass


def test_a_key_that_is_another_certificates_is_named(tmp_path: Path) -> None:
    own, other = Authority().files(tmp_path / "own"), Authority().files(tmp_path / "other")
    (own / "key.pem").write_bytes((other / "key.pem").read_bytes())
    with pytest.raises(BadConfiguration, match=r"^DOCKER_CERT_PATH: .* do not make a TLS client \(key values mismatch"):
        DockerSwarm("tcp://127.0.0.1:2376", CALL, own)


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    files = Authority().files(tmp_path / "own")
    (files / "ca.pem").write_text("nothing")
    with pytest.raises(BadConfiguration, match=r"^DOCKER_CERT_PATH: ca.pem, .* do not make a TLS client"):
        DockerSwarm("tcp://127.0.0.1:2376", CALL, files)
