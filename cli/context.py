"""What every command has: the environment, its output, and ingest where it asks for it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import timedelta

from cli import settings
from cli.client import Client
from cli.following import Follower, Pace
from cli.output import Output


@dataclass(slots=True)
class Context:
    """One run of one command."""

    environ: MutableMapping[str, str]
    output: Output
    pace: Pace

    def client(self) -> Client:
        """Ingest, as the environment names it. Raises Complaint."""
        return Client(settings.read(self.environ))

    def follower(self, client: Client, timeout: timedelta | None) -> Follower:
        """Follows requests, for so long."""
        return Follower(client, self.output, timeout, self.pace)
