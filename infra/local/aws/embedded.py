"""The embedded AWS: moto as AWS in this process, with its gaps filled, on a port of 127.0.0.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from localstack_client.session import Session

from infra.local.aws import autoscaling, ec2, sqs, tracking
from infra.local.aws import stack_resources as _stack_resources  # noqa: F401 - being defined, CloudFormation finds them
from infra.local.aws.calls import CallLog
from infra.local.aws.gateway import Gateway
from infra.local.aws.incidents import Incidents
from infra.local.aws.knobs import Knobs
from infra.local.aws.request import Handler
from infra.local.aws.server import Server
from infra.local.aws.world import REGION, close_world, open_world

ACCESS_KEY: Final = "AKIALOCALSCALER00001"
# The instance launcher's own: told apart in the call log, and met by no fault.
LAUNCHER_ACCESS_KEY: Final = "AKIALOCALLAUNCHER001"
SECRET_KEY: Final = "local-secret-key"  # noqa: S105 - guards nothing


class EmbeddedAws:
    """Start, use, stop. Several may live in one process; each has an account, and so a state, of its own."""

    def __init__(self) -> None:
        install()
        self._world = open_world()
        self.calls = CallLog()
        self._gateway = Gateway(self._world, self.calls, spared=frozenset({LAUNCHER_ACCESS_KEY}))
        self._server = Server(self._gateway.handle)
        self._sessions: dict[str, EndpointSession] = {}

    @property
    def endpoint(self) -> str:
        """The URL for `AWS_ENDPOINT_URL`."""
        return self._server.url

    @property
    def account_id(self) -> str:
        """The account everything belongs to."""
        return self._world.account_id

    @property
    def knobs(self) -> Knobs:
        """Faults and speeds."""
        return self._world.knobs

    @contextmanager
    def between(self, wrap: Callable[[Handler], Handler]) -> Iterator[None]:
        """From here to the end somebody stands between the wire and AWS, who may keep a request or its reply back."""
        handle = self._server.handle
        self._server.handle = wrap(handle)
        try:
            yield
        finally:
            self._server.handle = handle

    def instance_changes(self, seen: int) -> list[str]:
        """The instances that have changed their state, one for each change, without the first so many changes.

        Whoever follows them need only look at these.
        """
        return self._world.changed_instances[seen:]

    @property
    def incidents(self) -> Incidents:
        """What AWS does by itself."""
        return Incidents(self._world)

    def skip(self, seconds: float) -> None:
        """So much time passes at once in here: what is due within it is done on return."""
        self._world.timers.skip(seconds)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK or the `aws` command here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def session(self, access_key: str = ACCESS_KEY) -> Session:
        """boto3 clients of this AWS; the access key tells callers apart in the call log."""
        if access_key not in self._sessions:
            self._sessions[access_key] = EndpointSession(self.endpoint, access_key)
        return self._sessions[access_key]

    def start(self) -> Self:
        """Begin to serve; ready on return."""
        self._world.timers.start()
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection, end the threads, forget the state."""
        self._gateway.close()
        self._server.stop()
        self._world.timers.stop()
        close_world(self._world)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EndpointSession(Session):  # type: ignore[misc] # it has no types
    """A localstack-client session for one endpoint, whatever AWS_ENDPOINT_URL says."""

    def __init__(self, endpoint: str, access_key: str = ACCESS_KEY) -> None:
        super().__init__(access_key, SECRET_KEY, None, REGION)
        self._service_endpoint_mapping: dict[str, Any] = dict.fromkeys(self._service_endpoint_mapping, endpoint)
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, **settings: Any) -> Any:
        """A client; without settings of its own the same one each time, since making one takes 0.1 s."""
        if settings:
            return super().client(service_name, **settings)
        if service_name not in self._clients:
            self._clients[service_name] = super().client(service_name)
        return self._clients[service_name]


def install() -> None:
    """Put our backends in the place of moto's, for accounts opened from now on."""
    autoscaling.install()
    ec2.install()
    sqs.install()
    tracking.install()
