"""What a process says of itself when it is asked, and to arguments that it does not take."""

from __future__ import annotations

import pytest

from ingest.settings import IngestSettings
from shared import __version__
from shared.usage import take_arguments


def ended(*arguments: str) -> object:
    """The exit code."""
    with pytest.raises(SystemExit) as caught:
        take_arguments("scaler-ingest", "Queues.", IngestSettings, arguments)
    return caught.value.code


def test_without_arguments_it_goes_on() -> None:
    take_arguments("scaler-ingest", "Queues.", IngestSettings, [])


def test_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--help") == 0
    said = capsys.readouterr().out
    for name in IngestSettings.model_fields:
        assert name.upper() in said
    assert "INGEST_PORT (8080)" in said
    assert "SQS_QUEUE_URL (required)" in said


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"scaler-ingest {__version__}\n"


@pytest.mark.parametrize("argument", ["--port=80", "x", "--vers", "-x"])
def test_anything_else_is_exit_2_and_told(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(argument) == 2
    assert argument in capsys.readouterr().err
