"""A dry run says what the request right after it does, and changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.records import Record, State
from tests.behaviour.process import Process
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario
from worker.flows.dry_run import PATIENCE

pytestmark = pytest.mark.looptime(idle_timeout=1)

CHANGES = {
    "groups.set_desired",
    "groups.terminate",
    "swarm.update_node",
    "swarm.remove_node",
    "swarm.update_service",
    "alerts.post",
    "journal.remember",
    "journal.first_of",
}


async def tried(s: Scenario, process: Process, action: str, **fields: Any) -> Record:
    """The record of a dry run, after which nothing has been changed."""
    before = len(process.ports.calls)
    record = await s.ended(s.ask(action, dry_run=True, version=2, **fields), within=5)
    assert set(process.ports.calls[before:]) & CHANGES == set()
    assert (record.dry_run, record.settled, record.notices, record.action) == (True, True, (), action)
    return record


async def done(s: Scenario, action: str, **fields: Any) -> Record:
    return await s.ended(s.ask(action, **fields))


async def test_a_down_names_the_victim_that_the_real_one_takes_and_why_each_other_stays() -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("demo", 4, constraints=("node.role == worker",))
        await s.settled("demo", 4)
        s.swarm.label(s.launcher.nodes[s.workers[0]], **{"com.df.scaler.protect": "true"})
        process = await s.started()
        dry = await tried(s, process, "scale-nodes", scale="down", type="worker")
        assert dry.state is State.SUCCEEDED
        assert dry.message.startswith("Would change the number of worker nodes on aws from 3 to 2; ")
        (goes,) = (each for each in dry.plan["nodes"] if each["goes"])
        assert f"{goes['name']} would go" in dry.message
        assert goes["why"]
        assert sum(goes["moves"]["demo"].values()) >= 1
        others = {each["name"]: each["reasons"][0]["code"] for each in dry.plan["nodes"] if not each["goes"]}
        assert others[s.host(s.workers[0])] == "protected"
        assert sorted(others.values()) == ["not-needed", "protected"]
        real = await done(s, "scale-nodes", scale="down", type="worker")
        assert [each["name"] for each in real.plan["leaving"]] == [goes["name"]]
        assert (dry.nodes_before, dry.nodes_after, s.desired) == (3, 2, [3, 2])


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        (
            "scale-nodes",
            {"scale": "up", "type": "worker"},
            "Would change the number of worker nodes on aws from 1 to 2",
        ),
        ("scale-service", {"service": "web", "scale": "up"}, "Would scale web from 2 to 3 replicas (min: 1, max: 5)"),
        ("reschedule-services", {}, "Would reschedule web"),
        ("reschedule-service", {"service": "web"}, "Would reschedule web"),
        ("drain-node", {"node": "ip-10-0-0-8"}, "Would drain ip-10-0-0-8"),
    ],
)
async def test_each_says_what_it_would_do(action: str, fields: dict[str, Any], words: str) -> None:
    async with scenario() as s:
        s.swarm.create("web", 2, labels=RESCHEDULED)
        await s.settled("web", 2)
        process = await s.started()
        record = await tried(
            s, process, action, **{**fields, **({"node": s.nodes()[0].hostname} if "node" in fields else {})}
        )
        assert record.state is State.SUCCEEDED
        assert record.message.startswith(words[:20])
        assert action == "drain-node" or record.message == words


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("scale-nodes", {"scale": "up", "type": "worker", "by": 1}),
        ("scale-nodes", {"scale": "down", "type": "worker"}),
        ("scale-nodes", {"scale": "down", "type": "manager"}),
        ("scale-service", {"service": "nowhere", "scale": "up"}),
        ("scale-service", {"service": "web", "scale": "down"}),
        ("reschedule-service", {"service": "web"}),
        ("drain-node", {"node": "nobody"}),
    ],
)
async def test_what_is_refused_or_needless_says_so_in_the_words_of_the_real_one(
    action: str, fields: dict[str, Any]
) -> None:
    async with scenario(sizes=(1, 1)) as s:
        s.swarm.create("web", 1)
        await s.settled("web", 1)
        process = await s.started()
        dry = await tried(s, process, action, **fields)
        real = await done(s, action, **fields)
        assert dry.state in {State.SKIPPED, State.FAILED}
        assert (dry.state, dry.message) == (real.state, real.message)


async def test_a_refused_down_says_of_every_node_why_it_stays() -> None:
    async with scenario(workers=2, default_min_worker_nodes=2) as s:
        process = await s.started()
        dry = await tried(s, process, "scale-nodes", scale="down", type="worker")
        assert {reason["code"] for each in dry.plan["nodes"] for reason in each["reasons"]} == {"at-minimum"}
        assert len(dry.plan["nodes"]) == 2


@pytest.mark.parametrize("action", ["replace-node", "drain-node"])
async def test_of_one_node_it_says_where_its_tasks_would_go_and_that_nobody_asked_for_the_others(action: str) -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("demo", 6, constraints=("node.role == worker",))
        await s.settled("demo", 6)
        process = await s.started()
        victim, host = s.workers[0], s.host(s.workers[0])
        others = {node.hostname: node.id for node in s.swarm.cluster.nodes.values() if node.hostname != host}
        running = sum(task.node_id == s.launcher.nodes[victim] for task in await s.swarm.tasks())
        dry = await tried(s, process, action, node=victim)
        goes, *stay = dry.plan["nodes"]
        assert (goes["name"], goes["node"], goes["instance"]) == (host, s.launcher.nodes[victim], victim)
        assert (goes["goes"], goes["why"], goes["reasons"]) == (True, "it was asked for", [])
        assert goes["moves"].keys() == {"demo"}
        assert goes["moves"]["demo"].keys() == {s.host(worker) for worker in s.workers[1:]}
        assert sum(goes["moves"]["demo"].values()) == running
        assert {each["name"]: each["node"] for each in stay} == others
        assert {(each["goes"], *(reason["code"] for reason in each["reasons"])) for each in stay} == {
            (False, "not-asked-for")
        }
        assert {each["instance"] for each in stay} >= set(s.workers[1:])
        real = await done(s, action, node=victim)
        assert [each["name"] for each in real.plan["leaving"]] == [goes["name"]]


async def drain_first(s: Scenario) -> None:
    assert (await done(s, "drain-node", node=s.host(s.workers[0]))).state is State.SUCCEEDED


async def protect(s: Scenario) -> None:
    s.swarm.label(s.launcher.nodes[s.workers[0]], **{"com.df.scaler.protect": "true"})


async def a_job(s: Scenario) -> None:
    s.swarm.create("backup", 1, mode="replicated-job", constraints=(f"node.hostname == {s.host(s.workers[0])}",))
    await s.settled("backup", 1)


async def nowhere_else(s: Scenario) -> None:
    s.swarm.create("pinned", 1, constraints=(f"node.hostname == {s.host(s.workers[0])}",))
    await s.settled("pinned", 1)


async def suspend(s: Scenario) -> None:
    s.groups.groups["workers"].suspended.add("Launch")
    s.groups.follow("workers")


async def refresh(s: Scenario) -> None:
    s.groups.groups["workers"].refreshing = True


async def weigh(s: Scenario) -> None:
    s.groups.groups["workers"].unit = "weights"
    s.groups.follow("workers")


@pytest.mark.parametrize(
    ("action", "prepare", "code"),
    [
        ("replace-node", protect, "protected"),
        ("replace-node", a_job, "job-running"),
        ("replace-node", nowhere_else, "would-not-fit"),
        ("replace-node", suspend, "group-suspended"),
        ("replace-node", refresh, "refreshing"),
        ("replace-node", weigh, "weighted"),
        ("drain-node", protect, "protected"),
        ("drain-node", nowhere_else, "would-not-fit"),
        ("drain-node", drain_first, "already-drained"),
    ],
)
async def test_a_node_that_must_stay_has_the_reason_of_the_real_ones_refusal(
    action: str, prepare: Callable[[Scenario], Awaitable[None]], code: str
) -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        await prepare(s)
        await s.passes(1)
        dry = await tried(s, process, action, node=s.host(s.workers[0]))
        real = await done(s, action, node=s.host(s.workers[0]))
        assert (dry.state, dry.message) == (real.state, real.message)
        meant = dry.plan["nodes"][0]
        assert (meant["name"], meant["goes"], meant["moves"]) == (s.host(s.workers[0]), False, {})
        assert meant["reasons"] == [{"code": code, "text": real.message}]


async def test_where_nobody_is_called_so_and_where_a_node_is_given_back_no_node_goes() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        dry = await tried(s, process, "drain-node", node="nobody")
        assert {each["name"] for each in dry.plan["nodes"]} == {
            node.hostname for node in s.swarm.cluster.nodes.values()
        }
        await drain_first(s)
        back = await tried(s, process, "drain-node", node=s.host(s.workers[0]), back=True)
        assert back.message == f"Would give {s.host(s.workers[0])} back"
        assert back.plan["nodes"][0]["reasons"] == [{"code": "not-asked-for", "text": back.message}]
        assert not any(each["goes"] for each in (*dry.plan["nodes"], *back.plan["nodes"]))


async def test_it_waits_for_nobody_and_names_what_it_would_wait_behind() -> None:
    async with scenario(boot=600.0) as s:
        process = await s.started()
        up = s.up()
        await s.at(up, "wait")
        await s.passes(5)
        dry = await tried(s, process, "scale-nodes", scale="down", type="manager", by=1)
        assert dry.ended_at is not None
        dry = await tried(s, process, "scale-nodes", scale="up", type="worker")
        assert f"it would wait behind request {up}" in dry.message
        assert s.record(up).state is State.RUNNING


async def test_while_paused_it_adds_that() -> None:
    async with scenario() as s:
        process = await s.started()
        await s.ended(s.ask("pause"))
        dry = await tried(s, process, "scale-nodes", scale="up", type="worker")
        assert dry.state is State.SUCCEEDED
        assert dry.message.startswith("Would change the number of worker nodes on aws from 1 to 2; but Paused since ")


@pytest.mark.parametrize("lasts", [5, 60])
async def test_where_only_the_pause_cannot_be_read_the_plan_is_not_gone_on_with(lasts: float) -> None:
    async with scenario(workers=3) as s:
        process = s.start()
        process.ports.away.add("journal.recall_pause")
        asked = s.ask("scale-nodes", dry_run=True, version=2, scale="down", type="worker")
        await s.until(lambda: "journal.recall_pause" in process.ports.calls)
        await s.passes(lasts)
        process.ports.away.clear()
        record = await s.ended(asked, within=30)
        if lasts < PATIENCE.total_seconds():
            assert (record.state, record.message.split(";")[0]) == (
                State.SUCCEEDED,
                "Would change the number of worker nodes on aws from 3 to 2",
            )
        else:
            assert (record.state, "It was tried for 20 seconds" in record.message) == (State.FAILED, True)
        assert set(process.ports.calls) & CHANGES == set()


async def test_it_is_no_duplicate_and_nothing_is_one_of_it() -> None:
    async with scenario() as s:
        process = await s.started()
        same = {"scale": "up", "type": "worker", "idempotency_key": "k"}
        assert (await tried(s, process, "scale-nodes", **same)).state is State.SUCCEEDED
        assert (await done(s, "scale-nodes", **same)).state is State.SUCCEEDED
        assert (await tried(s, process, "scale-nodes", **same)).state is State.SUCCEEDED


async def test_while_aws_does_not_answer_it_fails_soon() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("groups.describe")
        record = await s.ended(s.ask("scale-nodes", scale="up", type="worker", dry_run=True, version=2), within=60)
        assert record.state is State.FAILED
        assert "It was tried for 20 seconds" in record.message


async def test_one_whose_last_write_fails_is_done_anew() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.refuse("journal.save", Unavailable("no answer"))
        dry = await tried(s, process, "scale-nodes", scale="down", type="worker")
        assert dry.message.startswith("Would change")
        assert s.desired == [2]


async def test_while_open_it_bears_a_name_that_an_older_worker_does_not_know() -> None:
    record = Record.parse({"id": "r", "action": "scale-nodes", "dry_run": True, "requested_at": "2026-11-01T12:00:00Z"})
    assert record.document()["action"] == "dry run of scale-nodes"
    assert record.view()["action"] == "scale-nodes"
    assert Record.parse(record.document()).action == "scale-nodes"
    assert record.but(state=State.SUCCEEDED).document()["action"] == "scale-nodes"


async def test_it_is_counted_as_what_it_is() -> None:
    async with scenario() as s:
        process = await s.started()
        await tried(s, process, "scale-nodes", scale="up", type="worker")
        value = process.metrics.registry.get_sample_value
        labels = {"action": "scale-nodes", "outcome": "dry_run"}
        assert value("scaler_requests_total", labels) == 1
