"""How the processes end: after a stop, and without credentials."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from ingest import process as ingest_process
from shared.credentials import NoCredentials
from tests.e2e.test_bad_configuration import GOOD
from worker import process
from worker.lifecycle import Worker

LOST = NoCredentials(timedelta(seconds=60), "the metadata service does not answer")


class Working:
    """A worker that works until it is cancelled, and then does what comes at the end of a leadership."""

    def __init__(self) -> None:
        self.released = False

    async def run(self) -> None:
        """Never ends by itself."""
        try:
            await asyncio.Event().wait()
        finally:
            self.released = True


async def stopping(why: NoCredentials | None) -> NoCredentials | None:
    return why


async def test_a_stop_ends_the_work() -> None:
    worker = Working()
    await process.until_stopped(cast("Worker", worker), stopping(None))
    assert worker.released


async def test_lost_credentials_end_the_work_and_are_told_after_the_release() -> None:
    worker = Working()
    with pytest.raises(NoCredentials, match="the metadata service does not answer"):
        await process.until_stopped(cast("Worker", worker), stopping(LOST))
    assert worker.released


@pytest.mark.parametrize(
    ("name", "part", "event"), [("worker", "run", "worker_gave_up"), ("ingest", "serve", "ingest_gave_up")]
)
def test_without_credentials_the_exit_code_is_1_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, name: str, part: str, event: str
) -> None:
    async def gives_up(*_: Any) -> None:
        raise LOST

    for variable, value in {**GOOD, "WORKER_PORT": "0", "INGEST_PORT": "0"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", [f"scaler-{name}"])
    monkeypatch.setattr(f"{name}.process.logs.configure", lambda *_: None)  # it would outlast this test
    monkeypatch.setattr(f"{name}.process.{part}", gives_up)
    with capture_logs() as lines:
        assert {"worker": process, "ingest": ingest_process}[name].main() == 1
    (line,) = lines
    assert (line["event"], line["log_level"]) == (event, "error")
    assert "the metadata service does not answer" in line["error"]
