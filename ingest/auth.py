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


def _shown(authorization: str) -> bytes:
    """The token in the header; empty where there is none, and no token is empty."""
    scheme, _, credentials = authorization.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return _bytes(credentials.strip())
        case "basic":
            return _password(_bytes(credentials.strip()))
        case _:
            return b""


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
