"""`/healthz` and `/metrics` of `rules`: whether it lives, and what it counts. Healthy also while Docker is away."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest


class Health(ThreadingHTTPServer):
    """Listens from the start; answers when `begin` was called."""

    daemon_threads = True

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        """Raises OSError where the port is taken."""
        handler = type("Handler", (_Handler,), {"registry": registry})
        super().__init__(("0.0.0.0", port), handler)  # noqa: S104 - a container's own port

    def begin(self) -> None:
        """Answer, in a thread that ends with the process."""
        Thread(target=self.serve_forever, name="health", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    """Seconds that somebody may take to ask."""
    registry: CollectorRegistry

    def do_GET(self) -> None:
        """Answer."""
        match self.path.partition("?")[0]:
            case "/healthz":
                self._say(HTTPStatus.OK, json.dumps({"status": "OK", "message": "alive"}).encode())
            case "/metrics":
                self._say(HTTPStatus.OK, generate_latest(self.registry), CONTENT_TYPE_LATEST)
            case _:
                body = {"status": "NOK", "message": "there are /healthz and /metrics"}
                self._say(HTTPStatus.NOT_FOUND, json.dumps(body).encode())

    def _say(self, status: HTTPStatus, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Say nothing: who looks often would fill the log."""
