"""What a check says of facts: the lines for what is as it must be, and for each thing that is not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import NotFound, Refused, ScalerError, Unavailable
from shared.settings import load
from tests.e2e.test_bad_configuration import GOOD
from worker.adapters.doctor_aws import ahead
from worker.decisions.pools import NodePool, node_pools
from worker.doctor.examination import Examination
from worker.doctor.facts import TableFacts, Trial
from worker.doctor.finding import Finding
from worker.doctor.groups import group as judged_group
from worker.doctor.groups import rebalancing
from worker.doctor.nodes import nodes as judged_nodes
from worker.doctor.storage import queues, table
from worker.ports.hooks import LifecycleHook
from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import Node, SwarmIdentity
from worker.settings import WorkerSettings

INBOX = {
    "QueueArn": "arn:inbox",
    "RedrivePolicy": '{"deadLetterTargetArn": "arn:dead", "maxReceiveCount": "20"}',
    "MessageRetentionPeriod": "1209600",
}
DEAD = {"QueueArn": "arn:dead", "MessageRetentionPeriod": "1209600"}
TABLE = TableFacts("ACTIVE", ("pk", "sk"), {"open": ("pk", "open_at"), "by-time": ("pk", "listed_at")}, "expires_at")
MEMBER = Instance("i-1", Phase.IN_SERVICE, protected=True)
GROUP = Group("workers", desired=1, min_size=0, max_size=100, instances=(MEMBER,))
NODE = Node("n1", "ip-10-0-0-1", "worker", engine_labels={"instance_id": "i-1"})
WAIT = timedelta(seconds=1000)


def settings(**changes: str) -> WorkerSettings:
    return load(WorkerSettings, {**GOOD, **changes})


def pool() -> NodePool:
    return node_pools(settings())["worker"]


def wrong(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if not finding.good]


def test_lines_begin_with_what_they_say() -> None:
    assert str(Finding(good=True, text="clock: right")) == "ok    clock: right"
    assert str(Finding(good=False, text="clock: 20 s ahead")) == "wrong clock: 20 s ahead"


class TestQueues:
    def test_those_of_the_template_are_right(self) -> None:
        assert [finding.good for finding in queues(INBOX, DEAD)] == [True, True]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"RedrivePolicy": ""}, "it has no redrive policy"),
            ({"RedrivePolicy": "nonsense"}, "it has no redrive policy"),
            (
                {"RedrivePolicy": INBOX["RedrivePolicy"].replace("arn:dead", "arn:other")},
                "names arn:other, and SQS_DLQ",
            ),
            ({"RedrivePolicy": INBOX["RedrivePolicy"].replace("20", "4")}, "its maxReceiveCount is 4"),
            ({"QueueArn": "arn:dead"}, "it is the same queue as SQS_DLQ_URL"),
            ({"FifoQueue": "true"}, "it is a FIFO queue"),
        ],
    )
    def test_an_inbox_that_would_lose_messages_is_named(self, change: Mapping[str, str], words: str) -> None:
        (line,) = wrong(queues({**INBOX, **change}, DEAD))
        assert line.startswith("SQS_QUEUE_URL: ")
        assert words in line

    def test_a_dead_letter_queue_that_forgets_sooner_is_named(self) -> None:
        (line,) = wrong(queues(INBOX, {**DEAD, "MessageRetentionPeriod": "345600"}))
        assert line.startswith("SQS_DLQ_URL: it keeps messages for 345600 s, the inbox for 1209600 s")


class TestTable:
    def test_that_of_the_template_is_right(self) -> None:
        assert wrong(table("t", TABLE)) == []

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"status": "DELETING"}, "its status is DELETING"),
            ({"key": ("id",)}, "its key is id, and must be pk, sk"),
            (
                {"indexes": {"open": ("pk", "open_at")}},
                "it needs a local secondary index by-time with the key pk, listed",
            ),
            ({"indexes": {**TABLE.indexes, "open": ("pk", "sk")}}, "index open with the key pk, open_at"),
            ({"expiry": None}, "run: aws dynamodb update-time-to-live --table-name t"),
            ({"expiry": "ttl"}, "AttributeName=expires_at"),
        ],
    )
    def test_one_that_was_made_otherwise_is_named(self, change: Mapping[str, Any], words: str) -> None:
        (line,) = wrong(table("t", replace(TABLE, **change)))
        assert words in line


class TestGroups:
    def test_one_as_the_template_makes_it_is_right(self) -> None:
        findings = judged_group(pool(), GROUP, [], WAIT)
        assert all(finding.good for finding in findings)
        assert findings[0].text.endswith("protected, from 0 to 5 worker nodes, 1 desired")

    def test_its_hooks_are_named_with_how_long_they_hold_and_what_comes_then(self) -> None:
        launch = LifecycleHook("scaler-launch", "launch", timedelta(seconds=300), "CONTINUE")
        terminate = LifecycleHook("other", "termination", timedelta(hours=1))
        text = " ".join(finding.text for finding in judged_group(pool(), GROUP, [launch, terminate], WAIT))
        assert "hooks: scaler-launch (launch, 300 s, then CONTINUE), other (terminate, 3600 s, then ABANDON)" in text
        assert "no lifecycle hooks" in " ".join(finding.text for finding in judged_group(pool(), GROUP, [], WAIT))

    @pytest.mark.parametrize(("default", "member", "said"), [(True, False, 1), (False, True, 1), (False, False, 0)])
    def test_where_instances_are_protected_a_refresh_must_not_wait_for_them(
        self, default: bool, member: bool, said: int
    ) -> None:
        facts = replace(GROUP, protects_new=default, instances=(replace(MEMBER, protected=member),))
        texts = [finding.text for finding in judged_group(pool(), facts, [], WAIT)]
        assert sum("ScaleInProtectedInstances=Refresh" in text and "an hour" in text for text in texts) == said

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"protects_new": False}, "--auto-scaling-group-name workers --new-instances-protected-from-scale-in"),
            ({"instances": (replace(MEMBER, protected=False),)}, "--protected-from-scale-in --instance-ids i-1"),
            ({"launches_suspended": True}, "--scaling-processes Launch"),
            ({"terminations_suspended": True}, "--scaling-processes Terminate"),
            ({"unit": "weights"}, "it counts its capacity in weights"),
            ({"min_size": 6}, "the minimum is 6 and the maximum 5"),
            ({"desired": 6}, "6 are desired, more than the maximum, 5"),
        ],
    )
    def test_what_a_scale_would_stumble_over_is_named(self, change: Mapping[str, Any], words: str) -> None:
        (line,) = wrong(judged_group(pool(), replace(GROUP, **change), [], WAIT))
        assert line.startswith("Auto Scaling group workers: ")
        assert words in line

    @pytest.mark.parametrize("phase", [Phase.PENDING, Phase.LEAVING, Phase.WARM, Phase.STANDBY])
    def test_who_is_not_in_service_need_not_be_protected(self, phase: Phase) -> None:
        member = replace(MEMBER, phase=phase, protected=False)
        assert wrong(judged_group(pool(), replace(GROUP, instances=(member,)), [], WAIT)) == []

    @pytest.mark.parametrize(("launching", "problems"), [(True, 1), (False, 0)])
    def test_a_launch_hook_that_outlasts_the_wait_is_named(self, launching: bool, problems: int) -> None:
        hook = LifecycleHook("slow", "launch" if launching else "termination", timedelta(seconds=1001))
        assert len(wrong(judged_group(pool(), GROUP, [hook], WAIT))) == problems

    def test_a_recommendation_that_no_group_would_follow_is_named_with_the_command(self) -> None:
        spot = replace(GROUP, name="spot", rebalances=True)
        assert rebalancing("none", [GROUP]) == []
        assert [str(each) for each in rebalancing("drain", [GROUP, spot])] == [
            "ok    REBALANCE_ACTION: drain, for spot"
        ]
        (line,) = wrong(rebalancing("drain", [GROUP]))
        assert "--capacity-rebalance --auto-scaling-group-name workers" in line


class TestNodes:
    def test_each_instance_with_its_node_is_right(self) -> None:
        assert [finding.good for finding in judged_nodes([GROUP], [NODE])] == [True, True]

    def test_an_engine_without_the_label_is_named_also_where_its_hostname_tells(self) -> None:
        known = replace(GROUP, instances=(replace(MEMBER, private_dns_name="ip-10-0-0-1.ec2.internal"),))
        (line,) = wrong(judged_nodes([known], [replace(NODE, engine_labels={})]))
        assert line.startswith("engine labels: without instance_id: ip-10-0-0-1 (n1); give each engine ")

    def test_an_instance_that_is_no_node_is_named(self) -> None:
        (line,) = wrong(judged_nodes([replace(GROUP, instances=(MEMBER, replace(MEMBER, id="i-2")))], [NODE]))
        assert line.startswith("nodes: instance i-2 of Auto Scaling group workers is in service and no Ready node")

    def test_one_that_still_starts_is_not(self) -> None:
        starting = replace(MEMBER, id="i-2", phase=Phase.PENDING)
        assert wrong(judged_nodes([replace(GROUP, instances=(MEMBER, starting))], [NODE])) == []

    def test_a_node_that_is_no_instance_is_named(self) -> None:
        stranger = Node("n2", "build-3", "worker", engine_labels={"instance_id": "i-9"})
        (line,) = wrong(judged_nodes([GROUP], [NODE, stranger]))
        assert line.startswith("nodes: node build-3 (n2) is no instance of workers")

    def test_two_nodes_that_say_they_are_one_instance_are_named_once(self) -> None:
        (line,) = wrong(judged_nodes([GROUP], [NODE, replace(NODE, id="n2")]))
        assert line.startswith("nodes: instance i-1 is claimed by two Ready nodes")

    def test_nodes_that_are_down_are_left_out(self) -> None:
        assert wrong(judged_nodes([GROUP], [NODE, Node("n2", "old", "worker", state="down")])) == []


class Aws:
    """An AWS that says what it is told to say, and fails where it is told to."""

    def __init__(self) -> None:
        self.ahead: timedelta | None = timedelta(0)
        self.errors: dict[str, ScalerError] = {}

    def _may(self, what: str) -> None:
        if what in self.errors:
            raise self.errors[what]

    async def queue(self, url: str) -> Mapping[str, str]:
        self._may(url)
        return INBOX if url == GOOD["SQS_QUEUE_URL"] else DEAD

    async def table(self) -> TableFacts:
        self._may("table")
        return TABLE

    async def lifecycle_hooks(self, name: str) -> list[LifecycleHook]:
        self._may(name)
        return []

    async def clock_ahead(self) -> timedelta | None:
        self._may("clock")
        return self.ahead

    def trials(self, groups: Any) -> Mapping[str, Trial]:
        async def trial() -> None:
            self._may("trial")

        return {f"ec2:Anything on {' '.join(groups)}": trial}

    async def describe(self, name: str) -> Group:
        self._may(name)
        if name == "managers":
            return replace(GROUP, name=name, instances=(), desired=0)
        return replace(GROUP, name=name)

    async def identity(self) -> SwarmIdentity:
        self._may("swarm")
        return SwarmIdentity("swarm-1", "n1")

    async def nodes(self, ids: object = None) -> list[Node]:
        self._may("swarm")
        return [NODE]


async def found(aws: Any, **changes: str) -> list[Finding]:
    async def healthy() -> None:
        aws._may("alertmanager")

    own = settings(**changes)
    examination = Examination(own, aws, groups=aws, swarm=aws, alertmanagers={"http://am": healthy})
    return [finding async for finding in examination.findings()]


class TestExamination:
    async def test_where_all_is_well_nothing_is_wrong(self) -> None:
        findings = await found(Aws())
        assert wrong(findings) == []
        assert len(findings) == 17

    @pytest.mark.parametrize(
        ("part", "error", "words"),
        [
            ("trial", Refused("denied (AccessDenied)"), "permission ec2:Anything on workers managers: denied"),
            ("table", NotFound("no table"), "DYNAMODB_TABLE table: no table; it must be there"),
            (GOOD["SQS_DLQ_URL"], NotFound("no queue"), "SQS_DLQ_URL: no queue; name a queue that is there"),
            ("workers", NotFound("no group"), "AWS_WORKER_ASG: no group; AWS_WORKER_ASG must name a group"),
            ("alertmanager", Unavailable("connection refused"), "ALERTMANAGER_ADDRESS: http://am: connection refused"),
            ("clock", Unavailable("no answer"), "clock: no answer; look at the network"),
        ],
    )
    async def test_one_part_that_fails_is_one_line_and_the_others_are_looked_at(
        self, part: str, error: ScalerError, words: str
    ) -> None:
        aws = Aws()
        aws.errors[part] = error
        findings = await found(aws)
        (line,) = wrong(findings)
        assert line.startswith(words)
        assert any(finding.text.startswith("DOCKER_HOST") for finding in findings)

    @pytest.mark.parametrize(("seconds", "way"), [(-11, "11 s behind"), (11, "11 s ahead of")])
    async def test_a_clock_that_is_wrong_is_named(self, seconds: int, way: str) -> None:
        aws = Aws()
        aws.ahead = timedelta(seconds=seconds)
        (line,) = wrong(await found(aws))
        assert line == f"clock: {way} AWS's; let chrony or ntpd set it"

    @pytest.mark.parametrize("seconds", [-2, 2])
    async def test_a_second_or_two_is_no_fault(self, seconds: int) -> None:
        aws = Aws()
        aws.ahead = timedelta(seconds=seconds)
        assert wrong(await found(aws)) == []

    async def test_without_node_scaling_no_group_is_looked_at(self) -> None:
        aws = Aws()
        aws.errors = {"managers": NotFound("no"), "workers": NotFound("no")}
        findings = await found(aws, NODE_SCALER_BACKEND="none")
        assert wrong(findings) == []
        assert not any("Auto Scaling" in finding.text for finding in findings)


class TestClock:
    DATE = "Thu, 26 Nov 2026 23:00:00 GMT"
    TOLD = datetime(2026, 11, 26, 23, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("began", "ended", "seconds"),
        [(0.2, 0.9, 0), (-0.5, 0.5, 0), (1.0, 1.5, 0), (-4.0, -3.0, -3), (21.0, 21.5, 20), (-30.0, 40.0, 0)],
    )
    def test_only_what_the_calls_time_does_not_explain_counts(self, began: float, ended: float, seconds: float) -> None:
        moments = (self.TOLD + timedelta(seconds=each) for each in (began, ended))
        assert ahead(self.DATE, *moments) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("date", [None, "", "yesterday"])
    def test_without_a_date_there_is_nothing_to_compare(self, date: str | None) -> None:
        assert ahead(date, self.TOLD, self.TOLD) is None
