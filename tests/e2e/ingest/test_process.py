"""The real process over an emulated AWS: start, stop, limits, memory, silence of SQS, and what its log says."""

from __future__ import annotations

import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.aws import EmbeddedAws, deploy
from shared.records import State
from shared.table import Layout
from tests.behaviour.ingest.serving import PAYLOADS
from tests.e2e.ingest.process import Ingest, ended, started
from tests.fakes.ingest import record
from tests.waiting import tries, until

TOKEN = "hunter2-hunter2"
UP = "/v1/scale-nodes?scale=up&type=worker"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(scope="module")
def environ(aws: EmbeddedAws) -> dict[str, str]:
    """What ingest has to be told of the deployed stack."""
    outputs = deploy(aws.session())
    return {**aws.environment, "SQS_QUEUE_URL": outputs["QueueUrl"], "DYNAMODB_TABLE": outputs["TableName"]}


@pytest.fixture(scope="module")
def ingest(environ: dict[str, str]) -> Iterator[Ingest]:
    with started(environ) as running:
        yield running


def queued(aws: EmbeddedAws, environ: dict[str, str]) -> list[dict[str, Any]]:
    """Everything in the queue, taken out of it."""
    sqs, found = aws.session().client("sqs"), []
    while answer := sqs.receive_message(QueueUrl=environ["SQS_QUEUE_URL"], MaxNumberOfMessages=10).get("Messages"):
        for each in answer:
            found.append(json.loads(each["Body"]))
            sqs.delete_message(QueueUrl=environ["SQS_QUEUE_URL"], ReceiptHandle=each["ReceiptHandle"])
    return found


def test_a_request_goes_to_sqs_and_its_record_comes_from_dynamodb(
    aws: EmbeddedAws, environ: dict[str, str], ingest: Ingest
) -> None:
    queued(aws, environ)
    webhook = (PAYLOADS / "tutorial_firing.json").read_bytes()
    code, answer = ingest.ask("POST", "/v1/scale-nodes?type=worker&by=2", webhook)
    [message] = queued(aws, environ)
    assert (code, message["id"], message["by"], message["source"]) == (202, answer["id"], 2, "alertmanager")
    assert ingest.ask("GET", f"/v1/requests/{answer['id']}")[0] == 404
    put(aws, environ, record(answer["id"], message="done"))
    assert ingest.ask("GET", f"/v1/requests/{answer['id']}")[1]["message"] == "done"
    listed = ingest.ask("GET", "/v1/requests?limit=100")[1]["requests"]
    assert answer["id"] in [each["id"] for each in listed]


def test_no_header_is_empty(ingest: Ingest) -> None:
    with socket.create_connection(("127.0.0.1", ingest.port), timeout=5) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        head = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")[0]
    assert all(line.partition(b":")[2].strip() for line in head.splitlines()[1:])


def test_the_newest_records_come_first_from_the_index(
    aws: EmbeddedAws, environ: dict[str, str], ingest: Ingest
) -> None:
    for hour in (1, 3, 5, 2, 4):  # together more than DynamoDB puts on one page
        moment = record("x").requested_at.replace(year=2027, hour=hour)
        put(aws, environ, record(f"at-{hour}", requested_at=moment, request={"fill": "x" * 300_000}))
    assert [each["id"] for each in ingest.ask("GET", "/v1/requests?limit=5")[1]["requests"]] == [
        f"at-{n}" for n in (5, 4, 3, 2, 1)
    ]


def test_records_of_one_state_come_from_the_index(aws: EmbeddedAws, environ: dict[str, str], ingest: Ingest) -> None:
    newest = record("x").requested_at.replace(year=2029)
    for number in range(12):  # more than one page of DynamoDB's
        moment = record("x").requested_at.replace(year=2028, minute=number)
        state = State.FAILED if number < 2 else State.SKIPPED
        put(aws, environ, record(f"s-{number}", state, requested_at=moment, request={"fill": "x" * 200_000}))
    without = Layout("default").item(record("s-old", State.FAILED, requested_at=newest))
    del without["state"]  # as the first version wrote it
    aws.session().client("dynamodb").put_item(TableName=environ["DYNAMODB_TABLE"], Item=without)
    listed = ingest.ask("GET", "/v1/requests?state=failed&limit=3")[1]["requests"]
    assert [each["id"] for each in listed] == ["s-old", "s-1", "s-0"]
    assert {each["state"] for each in ingest.ask("GET", "/v1/requests?state=skipped")[1]["requests"]} == {"skipped"}


def test_a_waiting_caller_gets_the_outcome(aws: EmbeddedAws, environ: dict[str, str], ingest: Ingest) -> None:
    queued(aws, environ)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ingest.ask, "POST", f"{UP}&wait=20")
        [message] = until(lambda: queued(aws, environ), "a message")
        put(aws, environ, record(message["id"], State.RUNNING))
        put(aws, environ, record(message["id"], State.FAILED, "no room"))
        code, answer = asked.result(10)
    assert (code, answer["message"], answer["status"]) == (500, "no room", "NOK")


def test_callers_that_end_their_side_are_answered_and_those_that_go_away_are_forgotten(
    environ: dict[str, str],
) -> None:
    request = b"POST /v1/scale-nodes?scale=up&type=worker%b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with started(environ) as ingest:
        with socket.create_connection(("127.0.0.1", ingest.port), timeout=10) as connection:
            connection.sendall(request % b"")
            connection.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: connection.recv(4096), b"")).startswith(b"HTTP/1.1 202 ")
        for ended in (False, True):
            with socket.create_connection(("127.0.0.1", ingest.port), timeout=10) as connection:
                connection.sendall(request % b"&wait=300")
                if ended:
                    connection.shutdown(socket.SHUT_WR)
                until(lambda: "scaler_http_waiting 1.0" in ingest.ask("GET", "/metrics")[1], "one who waits")
                reset = struct.pack("ii", 1, 0)  # closes with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            until(lambda: "scaler_http_waiting 0.0" in ingest.ask("GET", "/metrics")[1], "nobody who waits")
        assert ingest.stop() == 0
        assert "error" not in ingest.log.lower()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_those_who_wait_and_exits_0(environ: dict[str, str], number: signal.Signals) -> None:
    for one in tries():
        with (
            started(environ) as ingest,
            socket.create_connection(("127.0.0.1", ingest.port)),  # idle
            ThreadPoolExecutor() as pool,
        ):
            asked = [pool.submit(ingest.ask, "POST", f"{UP}&wait=600") for _ in range(5)]
            until(lambda: ingest.log.count("request_queued") >= 5, "five requests")
            until(lambda: "scaler_http_waiting 5.0" in ingest.ask("GET", "/metrics")[1], "five who wait")
            began = time.monotonic()
            assert ingest.stop(number) == 0
            took = time.monotonic() - began
            for answer in asked:
                code, text = answer.result(10)
                assert (code, text["message"]) == (202, "Queued (ingest is stopping)")
            assert "Traceback" not in ingest.log
        with one:
            assert took < 3


def test_it_is_ready_within_two_seconds(environ: dict[str, str]) -> None:
    """By the processor's time, which start-up consists of: other processes do not count."""
    with started(environ) as running:
        spent = psutil.Process(running.process.pid).cpu_times()
        assert spent.user + spent.system < 2
        for one in tries():
            with one:
                assert running.ask("GET", "/readyz")[0] == 200


def test_ten_bodies_of_50_mb_at_once_are_refused_without_being_held(ingest: Ingest) -> None:
    body = b"x" * 50 * MIB
    with ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(lambda _: ingest.ask("POST", UP, body)[0], range(10)))
    assert codes == [413] * 10
    assert peak(ingest) < 150 * MIB


def peak(ingest: Ingest) -> int:
    """The most that the process has ever held, in bytes."""
    lines = Path(f"/proc/{ingest.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.slow
def test_memory_is_flat_after_a_thousand_requests(environ: dict[str, str]) -> None:
    with started(environ) as ingest:
        first, second, third = _three_bursts(ingest)
    assert first < 110 * MIB
    assert third - second < 2 * MIB


def _three_bursts(ingest: Ingest) -> tuple[int, int, int]:
    """Resident bytes after each thousand requests."""
    process = psutil.Process(ingest.process.pid)
    webhook = (PAYLOADS / "tutorial_firing.json").read_bytes()

    def burst() -> int:
        with ThreadPoolExecutor(8) as pool:
            codes = set(pool.map(lambda _: ingest.ask("POST", "/v1/scale-nodes?type=worker", webhook)[0], range(1000)))
        ingest.ask("GET", "/v1/requests?limit=100")
        ingest.ask("GET", "/docs")
        assert codes == {202}
        return int(process.memory_info().rss)

    return burst(), burst(), burst()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        (b"", b""),
        (b"POST /v1/scale-nodes HTTP/1.1\r\nHost: x\r\n", b""),
        (b"POST /v1/scale-nodes HTTP/1.1\r\nHost: x\r\nX-Drip: ", b"a"),
        (b"POST /v1/scale-nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n", b""),
        (b"POST /v1/scale-nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n", b" "),
        (b"POST /v1/scale-nodes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
def test_a_client_that_never_finishes_is_cut_off_within_15_seconds(ingest: Ingest, sent: bytes, drip: bytes) -> None:
    for one in tries():
        took = cut_off_after(ingest, sent, drip)
        assert took > 8
        with one:
            assert took < 15


def cut_off_after(ingest: Ingest, sent: bytes, drip: bytes) -> float:
    """Seconds until the server hangs up, which is no longer waited for after 15."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", ingest.port), timeout=1) as connection:
        connection.sendall(sent)
        while time.monotonic() - began < 15 and not hung_up(connection):
            try:
                connection.sendall(drip)
            except OSError:
                break
    return time.monotonic() - began


def test_idle_it_only_counts_the_queue_every_15_seconds(aws: EmbeddedAws, ingest: Ingest) -> None:
    ingest.ask("GET", "/healthz")
    aws.calls.clear()
    time.sleep(2)  # the time in which nothing happens is what is measured
    assert aws.calls.counts() in ({}, {"sqs.GetQueueAttributes": 1})


# --- SQS in trouble -----------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refusing() -> str:
    """An endpoint where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("endpoint", ["silent", "refusing"])
def test_without_sqs_callers_get_503_within_5_seconds(
    environ: dict[str, str], endpoint: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(endpoint)
    with started({**environ, "AWS_ENDPOINT_URL": url}) as ingest, ThreadPoolExecutor(60) as pool:
        for number, one in enumerate(tries(), 1):
            asked = [pool.submit(timed, ingest, "POST", UP) for _ in range(40)]
            ready = pool.submit(timed, ingest, "GET", "/readyz")
            reads = pool.submit(timed, ingest, "GET", "/v1/requests/x")
            alive = pool.submit(timed, ingest, "GET", "/healthz")
            sent = [answer.result() for answer in asked]
            assert [code for code, _ in sent] == [503] * 40
            assert (ready.result()[0], alive.result()[0], reads.result()[0]) == (503, 200, 503)
            assert f"scaler_queue_send_failures_total {40.0 * number}" in ingest.ask("GET", "/metrics")[1]
            with one:
                assert max(seconds for _, seconds in sent) < 5
                assert ready.result()[1] < 3


def test_a_queue_that_is_not_there_is_503(environ: dict[str, str]) -> None:
    with started({**environ, "SQS_QUEUE_URL": environ["SQS_QUEUE_URL"] + "-gone"}) as ingest:
        for method, path in (("POST", UP), ("GET", "/readyz")):
            code, answer = ingest.ask(method, path)
            assert code == 503
            assert "SQS" in answer["message"]


# --- configuration, secrets ---------------------------------------------------------------------------------------


def test_bad_configuration_is_exit_2_and_a_line_for_each_problem() -> None:
    code, said = ended(
        {
            "SQS_QUEUE_URL": "queue",
            "INGEST_PORT": "99999",
            "SERVER_PREFIX": "a b",
            "DEFAULT_WAIT": "901",
            "NODE_SCALER_BACKEND": "gce",
            "WEBHOOK_TOKEN": "a",
            "WEBHOOK_TOKEN_FILE": "/b",
            "LOG_LEVEL": "loud",
        }
    )
    assert code == 2
    assert sorted(line.split(":")[0] for line in said.splitlines()) == [
        "DEFAULT_WAIT",
        "DYNAMODB_TABLE",
        "INGEST_PORT",
        "LOG_LEVEL",
        "NODE_SCALER_BACKEND",
        "SERVER_PREFIX",
        "SQS_QUEUE_URL",
        "WEBHOOK_TOKEN",
    ]


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_what_it_is_may_be_asked_without_any_configuration(argument: str) -> None:
    code, said = ended({}, argument)
    assert (code, said) == (0, "")


def test_a_port_that_is_taken_is_bad_configuration(environ: dict[str, str], ingest: Ingest) -> None:
    code, said = ended({**environ, "INGEST_HOST": "127.0.0.1", "INGEST_PORT": str(ingest.port)})
    assert code == 2
    assert len(said.splitlines()) == 1
    assert "INGEST_PORT" in said


def test_secrets_are_never_logged(environ: dict[str, str], refusing: str) -> None:
    settings = {"WEBHOOK_TOKEN": TOKEN, "LOG_LEVEL": "debug", "ALERTMANAGER_ADDRESS": refusing}
    with started({**environ, **settings}) as ingest:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        ingest.ask("POST", UP, headers=headers)
        ingest.ask("POST", f"{UP}&by={TOKEN}", headers=headers)
        ingest.ask(
            "POST", f"/v1/scale-service?service={TOKEN}&scale={environ['AWS_SECRET_ACCESS_KEY']}", headers=headers
        )
        ingest.ask("POST", UP, headers={"Authorization": f"Bearer x{TOKEN}"})
        ingest.ask("GET", f"/nope/{TOKEN}", headers=headers)
        ingest.stop()
        log = ingest.log
    assert "request_refused" in log
    assert "alert_not_taken" in log
    assert TOKEN not in log
    assert environ["AWS_SECRET_ACCESS_KEY"] not in log


def test_settings_come_from_files_too(environ: dict[str, str], tmp_path: Any) -> None:
    secret, credentials = tmp_path / "token", tmp_path / "aws"
    secret.write_text(f"{TOKEN}\n")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    credentials.write_text("".join(f"export {name}={environ[name]}\n" for name in keys))
    rest = {name: value for name, value in environ.items() if name not in keys}
    with started({**rest, "WEBHOOK_TOKEN_FILE": str(secret), "AWS_ENV_FILE": str(credentials)}) as ingest:
        assert ingest.ask("POST", UP)[0] == 401
        assert ingest.ask("POST", UP, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 202


# ------------------------------------------------------------------------------------------------------------------


def put(aws: EmbeddedAws, environ: dict[str, str], written: Any) -> None:
    item = Layout("default").item(written)
    aws.session().client("dynamodb").put_item(TableName=environ["DYNAMODB_TABLE"], Item=item)


def timed(ingest: Ingest, method: str, path: str) -> tuple[int, float]:
    began = time.monotonic()
    code = ingest.ask(method, path)[0]
    return code, time.monotonic() - began


def hung_up(connection: socket.socket) -> bool:
    """Whether the server has ended the connection, as seen within a second."""
    try:
        return connection.recv(65536) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
