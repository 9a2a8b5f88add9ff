"""`scaler` as a process on the embedded environment: asked, followed, looked at, and what was put aside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.e2e.environment import Environment
from tests.waiting import until

pytestmark = pytest.mark.slow

SETTINGS: Final = {"WEBHOOK_TOKEN": "correct horse", "DEFAULT_MAX_REPLICAS": "6"}
STILL: Final = "Request {0} goes on; look again with: scaler show {0} --follow"
_SECONDS: Final = 60


def started(env: Environment, *words: str) -> subprocess.Popen[str]:
    """With `.local/env`, as a person has it after `source`; Ctrl-C reaches it, also where it does not reach us."""
    environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", **env.variables}
    command = [sys.executable, "-m", "cli", *words]
    # What runs in the background of a shell ignores the signal, and so does all that it starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, ours)


def scaler(env: Environment, *words: str) -> tuple[int, list[list[str]], str]:
    """The exit code, piped rows, standard error."""
    process = started(env, *words)
    out, err = process.communicate(timeout=_SECONDS)
    return process.returncode, [line.split("\t") for line in out.splitlines()], err


def document(env: Environment, *words: str) -> Any:
    process = started(env, *words, "--json")
    out, err = process.communicate(timeout=_SECONDS)
    assert err == ""
    return json.loads(out)


def test_up_and_down_are_followed_to_what_the_swarm_has(env: Environment) -> None:
    code, rows, err = scaler(env, "nodes", "up", "--reason", "more room")
    assert (code, err) == (0, "")
    assert [row[2] for row in rows if row[1] == "step"] == ["plan", "apply", "wait", "reschedule"]
    assert rows[-1][2].startswith("Changing the number of worker nodes on aws from 1 to 2; 2 worker nodes are up")
    down = document(env, "nodes", "down")
    assert (down["state"], down["nodes_after"]) == ("succeeded", 1)
    records = document(env, "requests", "-n", "10")["requests"]  # with those of what AWS does by itself
    newest = [each for each in records if each["action"] == "scale-nodes"]
    assert [each["scale"] for each in newest] == ["down", "up"]
    assert newest[1]["reason"] == "more room"
    shown = scaler(env, "show", newest[1]["id"])[1]
    assert ["fact", "reason", "more room"] in shown


def test_status_is_what_the_cluster_is(env: Environment) -> None:
    """Within the seconds that the active worker may take to look again."""
    wanted = {"manager": "3", "worker": str(env.desired())}

    def settled() -> list[list[str]] | None:
        code, rows, err = scaler(env, "status")
        assert (code, err) == (0, "")
        groups = {row[1]: row[3] for row in rows if row[0] == "group"}
        nodes = [row for row in rows if row[0] == "node"]
        return rows if groups == wanted and len(nodes) == 3 + env.desired() else None

    rows = until(settled, f"the groups {wanted} and their nodes", look=0.5)
    assert rows[0][:2] == ["cluster", "default"]
    assert rows[0][5] == "no"
    assert "queue" in {row[0] for row in rows}


def test_services(env: Environment) -> None:
    assert scaler(env, "service", "down", "demo", "-n", "1")[0] == 0
    assert scaler(env, "service", "up", "demo", "-n", "1")[0] == 0
    assert scaler(env, "service", "up", "demo", "-n", "1")[0] == 5
    assert scaler(env, "service", "up", "nobody")[0] == 1
    code, rows, _ = scaler(env, "reschedule", "demo")
    assert (code, rows[-1][2]) == (0, "Rescheduled service: demo")


def test_ctrl_c_ends_the_following_and_not_the_request(env: Environment) -> None:
    env.fault("boot", boot_delay_seconds=5)
    try:
        process = started(env, "nodes", "up")
        assert process.stdout is not None
        request = process.stdout.readline().split()[2]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=_SECONDS)
        assert (process.returncode, err) == (4, f"scaler: {STILL.format(request)}\n")
    finally:
        env.mend()
    assert scaler(env, "show", request, "--follow")[0] == 0
    assert scaler(env, "nodes", "down")[0] == 0


def test_dead_letters_are_looked_at_sent_again_and_dropped(env: Environment) -> None:
    sqs = env.client("sqs")
    for body in ('{"action": "nonsense"}', "not JSON"):
        sqs.send_message(QueueUrl=env.variables["SQS_QUEUE_URL"], MessageBody=body)

    def both() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = document(env, "dead-letters")["dead_letters"]
        return found if len(found) == 2 else None

    letters = {each["body"]: each for each in until(both, "both dead letters", look=0.2)}
    assert "nonsense" in letters['{"action": "nonsense"}']["reason"]
    shown = dict(row[:2] for row in scaler(env, "dead-letters", "show", letters["not JSON"]["id"])[1])
    assert shown["body"] == "not JSON"
    assert scaler(env, "dead-letters", "drop", letters["not JSON"]["id"])[0] == 0
    again = document(env, "dead-letters", "send-again", "--all")["done"]
    assert [each["id"] for each in again] == [letters['{"action": "nonsense"}']["id"]]

    def back() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = document(env, "dead-letters", "list")["dead_letters"]
        return found

    (put_aside,) = until(back, "that it was put aside again", look=0.2)
    assert (put_aside["id"] == again[0]["id"], put_aside["body"]) == (False, '{"action": "nonsense"}')
    assert scaler(env, "dead-letters", "drop", "nothing-like-this")[0] == 1
    assert scaler(env, "dead-letters", "drop", "--all")[0] == 0
    assert document(env, "dead-letters")["dead_letters"] == []


def test_the_doctor_finds_nothing_wrong(env: Environment) -> None:
    code, rows, _ = scaler(env, "doctor")
    assert (code, {row[0] for row in rows}) == (0, {"ok"})
