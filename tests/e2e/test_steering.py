"""`scaler` where somebody steers: asks first, stops everything or one request, names one node. On real processes."""

from __future__ import annotations

from typing import Final

import pytest

from tests.e2e.environment import Environment
from tests.e2e.test_command_line import document, scaler
from tests.waiting import until

pytestmark = pytest.mark.slow

SETTINGS: Final = {"WEBHOOK_TOKEN": "correct horse"}
DONE, REFUSED, SKIPPED = 0, 1, 5


def hostnames(env: Environment) -> dict[str, str]:
    """The workers' names, and which are active, paused or drained."""
    return {node["Description"]["Hostname"]: str(node["Spec"]["Availability"]) for node in env.nodes()}


def test_what_would_go_is_told_node_by_node_and_nothing_changes(env: Environment) -> None:
    before, [name] = env.desired(), hostnames(env)
    code, rows, err = scaler(env, "explain", "down")
    assert (code, err) == (DONE, "")
    assert [row[1:3] for row in rows if row[0] == "node"] == [[name, "yes"]], rows
    told = document(env, "explain", "down")
    assert told["message"].startswith("Would change the number of worker nodes on aws from 1 to 0")
    assert (env.desired(), hostnames(env)) == (before, {name: "active"})


def test_a_pause_stops_node_scales_until_somebody_resumes(env: Environment) -> None:
    code, rows, _ = scaler(env, "pause", "--for", "2h", "--reason", "a deployment")
    assert code == DONE, rows
    try:
        paused = until(lambda: document(env, "status")["paused"], "a pause that everybody sees", look=0.3)
        assert (paused["reason"], paused["until"] is None) == ("a deployment", False)
        code, rows, _ = scaler(env, "nodes", "up")
        assert (code, "a deployment" in rows[-1][-1]) == (SKIPPED, True), rows
    finally:
        code, rows, _ = scaler(env, "resume")
    assert code == DONE, rows
    until(lambda: document(env, "status")["paused"] is None, "that it goes on", look=0.3)
    assert env.desired() == 1


def test_an_up_that_waits_is_cancelled_and_one_that_has_ended_is_not(env: Environment) -> None:
    env.fault("boot", boot_delay_seconds=12)
    request = scaler(env, "nodes", "up", "--no-wait")[1][0][0]

    def waits() -> bool:
        return scaler(env, "show", request)[0] == DONE and document(env, "show", request)["step"] == "wait"

    until(waits, "an up that waits", look=0.3)
    code, rows, _ = scaler(env, "cancel", request)
    assert code == DONE, rows
    ended = until(lambda: _ended(env, request), "its end", look=0.3)
    assert (ended["state"], ended["message"].startswith("Cancelled by ")) == ("failed", True), ended
    code, _, err = scaler(env, "cancel", request)
    assert (code, request in err or "ended" in err) == (REFUSED, True), err
    env.fault("boot", boot_delay_seconds=0.5)
    until(lambda: len(env.nodes()) == 2, "the node, which comes all the same")
    assert scaler(env, "nodes", "down")[0] == DONE
    assert env.desired() == 1


def test_one_node_is_drained_given_back_and_replaced(env: Environment) -> None:
    [name] = hostnames(env)
    [instance] = [node["Description"]["Engine"]["Labels"]["instance_id"] for node in env.nodes()]
    code, rows, _ = scaler(env, "node", "drain", name)
    assert (code, hostnames(env)) == (DONE, {name: "drain"}), rows
    assert not env.running("demo", env.nodes()[0]["ID"])
    assert scaler(env, "node", "drain", name)[0] == SKIPPED
    code, rows, _ = scaler(env, "node", "undrain", name)
    assert (code, hostnames(env)) == (DONE, {name: "active"}), rows
    code, rows, _ = scaler(env, "node", "replace", name)
    assert code == DONE, rows
    [now] = [node["Description"]["Engine"]["Labels"]["instance_id"] for node in env.nodes()]
    assert (now != instance, env.desired()) == (True, 1)
    assert scaler(env, "node", "drain", "no-such-node")[0] == REFUSED


def _ended(env: Environment, request: str) -> dict[str, str] | None:
    record: dict[str, str] = document(env, "show", request)
    return record if record["state"] in {"succeeded", "failed", "skipped"} else None
