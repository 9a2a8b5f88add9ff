"""Scaling nodes up."""

from shared.records import State
from tests.behaviour.world import RESCHEDULED, world

ASKED = "Scale nodes up on: aws, by: 1, type: worker"


async def test_a_node_comes_and_the_labelled_services_are_rescheduled() -> None:
    async with world() as w:
        w.swarm.create("demo", 6, labels=RESCHEDULED)
        w.swarm.create("other", 1)
        await w.started()
        record = await w.ended(w.up())
        changing = "Changing the number of worker nodes on aws from 1 to 2"
        assert (record.state, record.message) == (
            State.SUCCEEDED,
            f"{changing}; 2 worker nodes are up, demo rescheduled",
        )
        assert [step.name for step in record.steps] == ["plan", "apply", "wait", "reschedule"]
        assert all(step.ended_at is not None for step in record.steps)
        assert (record.nodes_before, record.nodes_after, record.by, record.notified) == (1, 2, 1, True)
        assert w.desired == [1, 2]
        ready = "2 worker nodes are up, demo rescheduled"
        assert w.told == [
            ("scale_nodes", "aws", "success", ASKED, changing),
            (
                *("scale_nodes", "reschedule", "pending", "Wait to reschedule"),
                "Waiting for worker nodes to scale from 1 to 2 for rescheduling",
            ),
            ("reschedule_service", "reschedule", "success", ready, ready),
        ]
