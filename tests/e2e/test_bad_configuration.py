"""Wrong configuration: exit code 2, and one line on standard error for each problem, naming the variable."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from ingest.settings import IngestSettings
from shared.settings import BadConfiguration, Settings, load
from worker.settings import WorkerSettings

GOOD: Final[Mapping[str, str]] = {
    "SQS_QUEUE_URL": "http://127.0.0.1:9/1/queue",
    "SQS_DLQ_URL": "http://127.0.0.1:9/1/dead",
    "DYNAMODB_TABLE": "table",
    "AWS_MANAGER_ASG": "managers",
    "AWS_WORKER_ASG": "workers",
}
REQUIRED: Final = {
    "ingest": ("SQS_QUEUE_URL", "DYNAMODB_TABLE"),
    "worker": ("SQS_QUEUE_URL", "DYNAMODB_TABLE", "SQS_DLQ_URL", "AWS_MANAGER_ASG", "AWS_WORKER_ASG"),
}
_BOTH: Final = {
    "SQS_QUEUE_URL": "queue",
    "DYNAMODB_TABLE": "t",
    "SCALER_CLUSTER": "my cluster",
    "ALERTMANAGER_ADDRESS": "alertmanager:9093",
    "ALERT_TIMEOUT": "soon",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "NODE_SCALER_BACKEND": "azure",
    "AWS_DEFAULT_REGION": "nearby, please",
}
_UNSHOWABLE: Final = (" token", "token ", "to\nken", "token\n", " ", "to\tken")
_NO_DOCKER: Final = ("docker", "/var/run/docker.sock", "unix://", "unix://docker.sock", "ssh://host", "tcp://")
_COUNTS: Final = (
    *(f"DEFAULT_{bound}_{kind}_NODES" for bound in ("MIN", "MAX") for kind in ("MANAGER", "WORKER")),
    *(f"DEFAULT_SCALE_{kind}_NODE_{way}_BY" for kind in ("MANAGER", "WORKER") for way in ("UP", "DOWN")),
    *("DEFAULT_MIN_REPLICAS", "DEFAULT_MAX_REPLICAS", "DEFAULT_SCALE_SERVICE_UP_BY", "DEFAULT_SCALE_SERVICE_DOWN_BY"),
)
_SWITCHES: Final = ("ALERT_NODE_MIN", "ALERT_NODE_MAX", "ALERT_SCALE_MIN", "ALERT_SCALE_MAX")
_DURATIONS: Final = (
    *("RESCHEDULE_TIMEOUT", "RESCHEDULE_TICKER_INTERVAL", "DRAIN_TIMEOUT", "DEDUP_WINDOW", "REQUEST_MAX_AGE"),
    *("SCALE_UP_COOLDOWN", "SCALE_DOWN_COOLDOWN"),
)
WRONG: Final[Mapping[str, Mapping[str, str]]] = {
    "ingest": {
        **_BOTH,
        "INGEST_PORT": "http",
        "SERVER_PREFIX": "/a b",
        "DEFAULT_WAIT": "901",
        "WEBHOOK_TOKEN": _UNSHOWABLE[0],
    },
    "worker": {
        **_BOTH,
        "SQS_DLQ_URL": "dead letters",
        "DOCKER_HOST": _NO_DOCKER[0],
        "RESCHEDULE_FILTER_LABEL": "=true",
        "WORKER_PORT": "65536",
        "RESCHEDULE_ENV_KEY": "1 KEY",
        "LEASE_SECONDS": "2.9",
        "LAUNCH_HOOK_RESULT": "continue",
        "REBALANCE_ACTION": "replace",
        "SCHEDULED_CHANGE_ACTION": "drain",
        **dict.fromkeys(_COUNTS, "some"),
        **dict.fromkeys(_SWITCHES, "perhaps"),
        **dict.fromkeys(_DURATIONS, "-1"),
    },
}
_CLASSES: Final[Mapping[str, type[Settings]]] = {"ingest": IngestSettings, "worker": WorkerSettings}


def _outcome(module: str, environ: Mapping[str, str]) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", module]
    env = {"PATH": os.environ["PATH"], **environ}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr.splitlines()


@cache
def _all_wrong(module: str) -> tuple[int, list[str]]:
    return _outcome(module, {**GOOD, **WRONG[module]})


@pytest.mark.parametrize("module", ["ingest", "worker"])
def test_without_any_variable_each_required_one_is_named(module: str) -> None:
    code, lines = _outcome(module, {"NODE_SCALER_BACKEND": "aws"})
    assert code == 2
    assert sorted(line.partition(":")[0] for line in lines) == sorted(REQUIRED[module])


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [(module, name) for module in REQUIRED for name in REQUIRED[module]])
def test_a_required_variable_that_is_missing_is_named(module: str, name: str) -> None:
    code, lines = _outcome(module, {key: value for key, value in GOOD.items() if key != name})
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"{name}: required")


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in WRONG for name in WRONG[module]])
def test_a_variable_with_a_wrong_value_is_named_on_a_line_of_its_own(module: str, name: str) -> None:
    code, lines = _all_wrong(module)
    assert code == 2
    assert len([line for line in lines if line.startswith(f"{name}: ")]) == 1
    assert len(lines) == len(WRONG[module])


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in WRONG for name in WRONG[module]])
def test_one_wrong_value_is_one_problem(module: str, name: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(_CLASSES[module], {**GOOD, name: WRONG[module][name]})
    assert [line.partition(":")[0] for line in caught.value.problems] == [name]


@pytest.mark.parametrize(
    ("name", "possible"),
    [("REBALANCE_ACTION", "'none' or 'drain'"), ("SCHEDULED_CHANGE_ACTION", "'notify' or 'replace'")],
)
def test_what_is_none_of_a_few_values_is_refused_with_those_that_are(name: str, possible: str) -> None:
    code, lines = _all_wrong("worker")
    assert (code, [line for line in lines if line.startswith(name) and possible in line] != []) == (2, True)


@pytest.mark.parametrize("token", _UNSHOWABLE)
def test_a_token_that_no_caller_could_show_is_refused_instead_of_locking_everybody_out(token: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^WEBHOOK_TOKEN: must be one line, without white space at its ends$"):
        load(IngestSettings, {**GOOD, "WEBHOOK_TOKEN": token})


@pytest.mark.parametrize("host", _NO_DOCKER)
def test_what_is_no_address_of_an_engine_is_refused(host: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^DOCKER_HOST: must be like unix:///var/run/docker.sock or tcp://HOST"):
        load(WorkerSettings, {**GOOD, "DOCKER_HOST": host})


@pytest.mark.parametrize("host", ["unix:///run/docker.sock", "tcp://10.0.0.4:2375", "http://proxy:2375"])
def test_addresses_of_engines_are_taken(host: str) -> None:
    assert load(WorkerSettings, {**GOOD, "DOCKER_HOST": host}).docker_host == host


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"DOCKER_HOST": "tcp://10.0.0.4"}, "tcp://10.0.0.4:2375"),
        ({"DOCKER_HOST": "tcp://[fd00::4]"}, "tcp://[fd00::4]:2375"),
        ({"DOCKER_HOST": "tcp://engine:", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}, "tcp://engine:2376"),
        ({"DOCKER_HOST": "tcp://engine", "DOCKER_TLS_VERIFY": ""}, "tcp://engine:2375"),
        ({"DOCKER_HOST": "http://proxy"}, "http://proxy:80"),
        ({"DOCKER_HOST": "https://proxy"}, "https://proxy:443"),
    ],
)
def test_an_address_without_a_port_is_settled_at_start(given: Mapping[str, str], meant: str) -> None:
    assert load(WorkerSettings, {**GOOD, **given}).docker_host == meant


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"DOCKER_HOST": "tcp://:2375"}, "DOCKER_HOST: must be like unix:///var/run/docker.sock or tcp://HOST:PORT"),
        ({"DOCKER_HOST": "tcp://h:70000"}, "DOCKER_HOST: must be like unix:///var/run/docker.sock or tcp://HOST:PORT"),
        (
            {"DOCKER_HOST": "http://h:2375", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"},
            "DOCKER_HOST: http:// is without TLS, but DOCKER_TLS_VERIFY is set; write tcp://, or take that away",
        ),
        (
            {"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1"},
            "DOCKER_CERT_PATH: required with DOCKER_TLS_VERIFY, but not set",
        ),
        (
            {"SQS_DLQ_URL": "https://sqs/1/dead.fifo"},
            "SQS_DLQ_URL: must be a standard queue, not a FIFO queue (.fifo)",
        ),
        (
            {"SQS_QUEUE_URL": "https://sqs/1/inbox.fifo/"},
            "SQS_QUEUE_URL: must be a standard queue, not a FIFO queue (.fifo)",
        ),
    ],
)
def test_what_could_not_work_is_named_at_start(given: Mapping[str, str], problem: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(WorkerSettings, {**GOOD, **given})
    assert caught.value.problems == [problem]


def test_certificates_that_are_missing_are_exit_2(tmp_path: Path) -> None:
    tls = {"DOCKER_HOST": "tcp://127.0.0.1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}
    (tmp_path / "ca.pem").touch()
    code, lines = _outcome("worker", {**GOOD, **tls, **keys, "WORKER_PORT": "0"})
    assert (code, lines) == (2, [f"DOCKER_CERT_PATH: no cert.pem, key.pem in {tmp_path}"])


@pytest.mark.parametrize("module", ["ingest", "worker"])
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AWS_ENDPOINT_URL", "localhost:4566", "must be a URL that begins with http:// or https://"),
        ("AWS_ENDPOINT_URL_SQS", "http:///", "must be a URL that begins with http:// or https://"),
        ("AWS_PROFILE", "nobody", "The config profile (nobody) could not be found"),
    ],
)
def test_what_the_sdk_would_stumble_over_is_a_problem_like_any_other(
    module: str, name: str, value: str, problem: str
) -> None:
    code, lines = _outcome(module, {**GOOD, "INGEST_PORT": "0", "WORKER_PORT": "0", name: value})
    assert (code, lines[-1]) == (2, f"{name}: {problem}")
    assert "Traceback" not in "".join(lines)


def test_a_port_that_is_taken_is_a_problem_like_any_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, lines = _outcome("worker", {**GOOD, "WORKER_PORT": str(port)})
    assert (code, lines) == (2, [f"WORKER_PORT: cannot listen on {port} (Address already in use)"])


@pytest.mark.parametrize("module", ["ingest", "worker"])
def test_a_value_in_a_file_that_is_not_there_or_given_twice_is_named(module: str) -> None:
    files = {"LOG_LEVEL_FILE": "/nowhere/level", "DYNAMODB_TABLE_FILE": "/dev/null", "AWS_ENV_FILE": "/nowhere/aws"}
    code, lines = _outcome(module, {**GOOD, **files})
    assert code == 2
    assert {line.partition(":")[0] for line in lines} == {"LOG_LEVEL", "DYNAMODB_TABLE", "AWS_ENV_FILE"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEFAULT_MIN_WORKER_NODES", "6"), ("DEFAULT_MIN_MANAGER_NODES", "8"), ("DEFAULT_MIN_REPLICAS", "6")],
)
def test_bounds_that_contradict_each_other_are_named(name: str, value: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(WorkerSettings, {**GOOD, name: value})
    (line,) = caught.value.problems
    assert {name, name.replace("MIN", "MAX")} <= set(re.findall("[A-Z_]{9,}", line))
