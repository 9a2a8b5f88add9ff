"""How a command ends: its exit code, and the line for standard error where it does not end well."""

from enum import IntEnum

from shared.errors import ScalerError


class Exit(IntEnum):
    """The exit codes, which scripts rely on."""

    DONE = 0
    FAILED = 1
    """Failed or refused."""
    USAGE = 2
    UNREACHABLE = 3
    """Nothing that is ingest (or SQS, for dead letters) answers."""
    RUNNING = 4
    """It had not ended when the time was over, or somebody looked away."""
    SKIPPED = 5


class Complaint(ScalerError):
    """What ends a command early. The text says what is wrong, and what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code
