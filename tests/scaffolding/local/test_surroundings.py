"""What the environment's services get from the shell, and what never reaches them."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.children import SetUpFailed
from infra.local.surroundings import OWN, boot_delay, given, inherited, shield


def test_settings_of_the_services_are_passed_on() -> None:
    shell = {
        "LEASE_SECONDS": "3",
        "WEBHOOK_TOKEN_FILE": "/x",
        "AWS_ENV_FILE": "/y",
        "PATH": "/bin",
        "INGEST_HOST": "::1",
    }
    assert inherited(shell).items() >= shell.items()


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("ending", ["", "_FILE"])
def test_settings_of_the_environment_itself_are_not(name: str, ending: str) -> None:
    assert name + ending not in inherited({name + ending: "mine"})


@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS", "DOCKER_CONTEXT", "INGEST_PORT"]
)
def test_nothing_leads_the_services_away(name: str) -> None:
    assert name not in inherited({name: "elsewhere"})


def test_no_proxy_stands_between_the_services_and_this_machine() -> None:
    found = inherited({"HTTP_PROXY": "http://proxy", "NO_PROXY": "here"})
    assert found["NO_PROXY"] == found["no_proxy"] == "here,127.0.0.1,localhost"


def test_ingest_listens_on_this_machine_only_unless_told_otherwise() -> None:
    assert inherited({})["INGEST_HOST"] == "127.0.0.1"
    assert "INGEST_HOST" not in inherited({"INGEST_HOST_FILE": "/x"})


def test_our_own_process_is_shielded_but_keeps_the_ports_it_was_given() -> None:
    environ = {"AWS_PROFILE": "work", "INGEST_PORT": "8080", "PATH": "/bin", "BOOT_DELAY": "1"}
    shield(environ)
    assert environ == {
        "INGEST_PORT": "8080",
        "PATH": "/bin",
        "BOOT_DELAY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def test_a_setting_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert given({"WEBHOOK_TOKEN_FILE": str(tmp_path / "token")}, "WEBHOOK_TOKEN") == "secret"
    assert given({}, "WEBHOOK_TOKEN") is None
    with pytest.raises(SetUpFailed, match="WEBHOOK_TOKEN"):
        given({"WEBHOOK_TOKEN_FILE": str(tmp_path / "none")}, "WEBHOOK_TOKEN")


@pytest.mark.parametrize(("text", "seconds"), [("", 3.0), ("0", 0.0), ("2.5", 2.5)])
def test_the_boot_delay_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert boot_delay({"BOOT_DELAY": text}) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e9"])
def test_another_boot_delay_is_refused_by_name(text: str) -> None:
    with pytest.raises(SetUpFailed, match="BOOT_DELAY"):
        boot_delay({"BOOT_DELAY": text})
