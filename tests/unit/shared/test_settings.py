"""Settings: where values come from, and what people are told when they are wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from shared import settings as module
from shared.settings import Backend, BadConfiguration, Seconds, Settings, load, prepare_aws, read

REQUIRED = {"SQS_QUEUE_URL": "https://sqs/inbox", "DYNAMODB_TABLE": "scaler"}


class Example(Settings):
    """Settings of every kind."""

    token: SecretStr | None = None
    count: Annotated[int, Field(ge=0, le=9)] = 3
    switch: bool = False
    node_scaler_backend: Backend = "aws"
    aws_worker_asg: str | None = None


def wrong(environ: dict[str, str]) -> list[str]:
    """What is said of an environment that is wrong."""
    with pytest.raises(BadConfiguration) as caught:
        load(Example, {**REQUIRED, **environ})
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems


# --- values and files -----------------------------------------------------------------------------------------------


def test_defaults() -> None:
    settings = load(Example, REQUIRED)
    assert (settings.scaler_cluster, settings.aws_default_region) == ("default", "us-east-1")
    assert (settings.alertmanager_address, settings.alert_timeout) == (None, timedelta(seconds=10))
    assert (settings.log_level, settings.log_format, settings.count) == ("info", "json", 3)


@pytest.mark.parametrize("name", ["SQS_QUEUE_URL", "DYNAMODB_TABLE", "COUNT", "TOKEN", "LOG_LEVEL", "ALERT_TIMEOUT"])
def test_every_variable_may_be_given_as_a_file(tmp_path: Path, name: str) -> None:
    value = {"SQS_QUEUE_URL": "http://q", "COUNT": "7", "LOG_LEVEL": "debug", "ALERT_TIMEOUT": "2.5"}.get(name, "abc")
    (tmp_path / "value").write_text(f"{value}\n")
    direct = load(Example, {**REQUIRED, name: value})
    rest = {key: text for key, text in REQUIRED.items() if key != name}
    assert load(Example, {**rest, f"{name}_FILE": str(tmp_path / "value")}) == direct


@pytest.mark.parametrize(
    ("content", "value"),
    [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\nb\n", "a\nb")],
)
def test_only_the_newline_at_the_end_is_taken_off(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "value").write_bytes(content.encode())
    token = load(Example, {**REQUIRED, "TOKEN_FILE": str(tmp_path / "value")}).token
    assert token is not None
    assert token.get_secret_value() == value


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("4")
    path = str(tmp_path / "value")
    assert wrong({"COUNT": "4", "COUNT_FILE": path}) == ["COUNT: set both directly and as COUNT_FILE; keep one"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert wrong({"COUNT_FILE": "/nowhere"}) == ["COUNT: cannot read COUNT_FILE /nowhere (No such file or directory)"]
    assert wrong({"COUNT_FILE": str(tmp_path)}) == [f"COUNT: cannot read COUNT_FILE {tmp_path} (Is a directory)"]
    path = tmp_path / "bytes"
    assert wrong({"COUNT_FILE": str(path)}) == [f"COUNT: cannot read COUNT_FILE {path} (not UTF-8 text)"]


def test_a_required_variable_whose_file_cannot_be_read_is_told_once() -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(Example, {"SQS_QUEUE_URL": "http://q", "DYNAMODB_TABLE_FILE": "/nowhere"})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["COUNT", "TOKEN", "LOG_LEVEL", "COUNT_FILE", "ALERTMANAGER_ADDRESS"])
def test_empty_counts_as_absent(name: str) -> None:
    assert load(Example, {**REQUIRED, name: ""}) == load(Example, REQUIRED)


@pytest.mark.parametrize(("text", "backend"), [("", "none"), ("None", "none"), ("AWS", "aws"), (" aws ", "aws")])
def test_an_empty_backend_is_none_and_its_case_does_not_matter(text: str, backend: str, tmp_path: Path) -> None:
    assert load(Example, {**REQUIRED, "NODE_SCALER_BACKEND": text}).node_scaler_backend == backend
    (tmp_path / "backend").write_text(f"{text}\n")
    path = str(tmp_path / "backend")
    assert load(Example, {**REQUIRED, "NODE_SCALER_BACKEND_FILE": path}).node_scaler_backend == backend
    assert wrong({"NODE_SCALER_BACKEND": f"{text}x"}) == ["NODE_SCALER_BACKEND: must be aws or none"]


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_a_secret_whose_file_is_empty_is_refused_instead_of_leaving_the_door_open(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    assert wrong({"TOKEN_FILE": str(tmp_path / "token")}) == [f"TOKEN: TOKEN_FILE {tmp_path / 'token'} is empty"]


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SQS_QUEUE_URL", "inbox", "must be a URL that begins with http:// or https://"),
        (
            "ALERTMANAGER_ADDRESS",
            "alertmanager:9093",
            "must be a URL that begins with http:// or https://, or several, separated by commas",
        ),
        ("DYNAMODB_TABLE", "x", "must have at least 3 characters"),
        ("DYNAMODB_TABLE", "x" * 256, "must have at most 255 characters"),
        ("SCALER_CLUSTER", "a b", "must be 1 to 64 letters, digits, dots, underscores or dashes"),
        ("LOG_LEVEL", "loud", "must be debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "must be json or text"),
        ("COUNT", "ten", "must be a whole number"),
        ("COUNT", "1.5", "must be a whole number"),
        ("COUNT", "10", "must be 9 or less"),
        ("COUNT", "-1", "must be 0 or more"),
        ("SWITCH", "perhaps", "must be true or false"),
        *(
            ("ALERT_TIMEOUT", value, "must be a number of seconds, 0 or more")
            for value in ("abc", "-1", "nan", "inf", "1e3", "1_0", "9" * 12, "10s")
        ),
    ],
)
def test_what_is_expected_is_said_in_words(name: str, value: str, problem: str) -> None:
    assert wrong({name: value}) == [f"{name}: {problem}"]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(Example, {})
    assert caught.value.problems == ["SQS_QUEUE_URL: required, but not set", "DYNAMODB_TABLE: required, but not set"]


def test_all_problems_are_told_at_once() -> None:
    problems = wrong({"COUNT": "x", "LOG_LEVEL": "x", "TOKEN": "a", "TOKEN_FILE": "b", "SQS_QUEUE_URL": ""})
    assert [line.split(":")[0] for line in problems] == ["TOKEN", "SQS_QUEUE_URL", "LOG_LEVEL", "COUNT"]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20))
def test_no_value_is_ever_repeated_or_anything_but_a_problem(value: str) -> None:
    marked = f"~{value}~"
    names = ("SQS_QUEUE_URL", "SCALER_CLUSTER", "LOG_LEVEL", "LOG_FORMAT", "COUNT", "SWITCH", "ALERT_TIMEOUT")
    problems = wrong(dict.fromkeys(names, marked))
    assert [line.split(":")[0] for line in problems] == [
        *("SQS_QUEUE_URL", "SCALER_CLUSTER", "ALERT_TIMEOUT", "LOG_LEVEL", "LOG_FORMAT", "COUNT", "SWITCH")
    ]
    assert not any(marked in line for line in problems)


@pytest.mark.parametrize("url", ["https://sqs/inbox.fifo", "https://sqs/inbox.fifo/"])
def test_a_fifo_queue_is_named_at_the_start(url: str) -> None:
    assert wrong({"SQS_QUEUE_URL": url}) == ["SQS_QUEUE_URL: must be a standard queue, not a FIFO queue (.fifo)"]


@pytest.mark.parametrize("text", ["tcp://alertmanager", "alertmanager:9093", "http://a b", "http://a:port"])
def test_an_address_that_cannot_be_called_is_named_at_the_start(text: str) -> None:
    [problem] = wrong({"ALERTMANAGER_ADDRESS": text})
    assert problem.startswith("ALERTMANAGER_ADDRESS: must be a URL that begins with http:// or https://, or several")


def test_several_addresses_are_fine() -> None:
    environ = {**REQUIRED, "ALERTMANAGER_ADDRESS": "http://a:9093,http://b:9093"}
    assert load(Example, environ).alertmanager_address == "http://a:9093,http://b:9093"


def test_every_field_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_secrets_are_known_and_not_shown() -> None:
    settings = load(Example, {**REQUIRED, "TOKEN": "hunter2"})
    assert settings.secrets() == ["hunter2"]
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("text", ["0", "1", "2.5", " 3 ", "315360000"])
def test_seconds(text: str) -> None:
    class Durations(Settings):
        pause: Seconds = timedelta(0)

    assert load(Durations, {**REQUIRED, "PAUSE": text}).pause == timedelta(seconds=float(text))


def test_log_words_may_be_written_large() -> None:
    settings = load(Example, {**REQUIRED, "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "Text"})
    assert (settings.log_level, settings.log_format) == ("debug", "text")


# --- the SDK's variables ----------------------------------------------------------------------------------------------


def test_the_env_files_lines_are_set_unless_the_environment_says_itself(tmp_path: Path) -> None:
    path = tmp_path / "aws"
    path.write_text(
        "# a comment\nexport AWS_ACCESS_KEY_ID=AKIA\nexport AWS_SECRET_ACCESS_KEY='a=b c'\n"
        'AWS_SESSION_TOKEN="t # t" # the token\n\n#export AWS_PROFILE=x\nnonsense\n'
        "export AWS_REGION=eu-west-1  # near\r\nexport AWS_MAX_ATTEMPTS=2#3\n"
    )
    environ = {"AWS_ENV_FILE": str(path), "AWS_ACCESS_KEY_ID": "mine", "AWS_REGION": ""}
    prepare_aws(environ)
    assert environ == {
        "AWS_ENV_FILE": str(path),
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "a=b c",
        "AWS_SESSION_TOKEN": "t # t",
        "AWS_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "2#3",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_the_env_file_of_docker_secrets_is_taken_if_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AWS_SECRETS_FILE", str(tmp_path / "aws"))
    environ: dict[str, str] = {}
    prepare_aws(environ)
    assert "AWS_ACCESS_KEY_ID" not in environ
    (tmp_path / "aws").write_text("export AWS_ACCESS_KEY_ID=AKIA")
    prepare_aws(environ)
    assert environ["AWS_ACCESS_KEY_ID"] == "AKIA"


def test_an_env_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BadConfiguration, match=r"^AWS_ENV_FILE: cannot read /nowhere \(No such file or directory\)$"):
        prepare_aws({"AWS_ENV_FILE": "/nowhere"})


def test_the_sdks_variables_may_be_given_as_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    environ = {"AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "key")}
    given_twice = {**environ, "AWS_SECRET_ACCESS_KEY": "other"}
    prepare_aws(environ)
    assert environ["AWS_SECRET_ACCESS_KEY"] == "secret"
    with pytest.raises(BadConfiguration, match="set both directly and as AWS_SECRET_ACCESS_KEY_FILE"):
        prepare_aws(given_twice)


@pytest.mark.parametrize("name", ["AWS_DEFAULT_REGION", "AWS_WORKER_ASG"])
def test_our_own_variables_that_begin_like_the_sdks_may_be_given_as_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "value").write_text("eu-west-3\n")
    environ = {**REQUIRED, f"{name}_FILE": str(tmp_path / "value")}
    given_twice = {**environ, name: "other"}
    assert getattr(read(Example, environ), name.lower()) == "eu-west-3"
    with pytest.raises(BadConfiguration) as caught:
        read(Example, given_twice)
    assert caught.value.problems == [f"{name}: set both directly and as {name}_FILE; keep one"]


def test_even_the_path_of_the_env_file_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("export AWS_DEFAULT_REGION=eu-west-3\n")
    (tmp_path / "path").write_text(f"{tmp_path / 'aws'}\n")
    assert read(Example, {**REQUIRED, "AWS_ENV_FILE_FILE": str(tmp_path / "path")}).aws_default_region == "eu-west-3"


@pytest.mark.parametrize(
    "name", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CREDENTIAL_FILE"]
)
def test_the_sdks_own_files_are_left_to_it(name: str) -> None:
    environ = {name: "/nowhere"}
    prepare_aws(environ)
    assert environ == {name: "/nowhere", "AWS_DEFAULT_REGION": "us-east-1"}


def test_reading_tells_what_is_wrong_with_both() -> None:
    with pytest.raises(BadConfiguration) as caught:
        read(Example, {"SQS_QUEUE_URL": "http://q", "AWS_ENV_FILE": "/nowhere", "LOG_LEVEL": "x"})
    names = {line.split(":")[0] for line in caught.value.problems}
    assert names == {"AWS_ENV_FILE", "DYNAMODB_TABLE", "LOG_LEVEL"}


def test_the_region_of_the_env_file_counts(tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("export AWS_DEFAULT_REGION=eu-west-3\n")
    assert read(Example, {**REQUIRED, "AWS_ENV_FILE": str(tmp_path / "aws")}).aws_default_region == "eu-west-3"
