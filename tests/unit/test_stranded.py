"""What of a node that leaves can move, where not all of it can; and how long the rest takes to stop."""

from datetime import timedelta

from tests.unit.build import CPU, host, node, service, task
from worker.decisions.leaving import wait_for
from worker.decisions.stranded import STOP_GRACE, Stranded, stranded
from worker.ports.swarm import Service, Task

ONE, TWO = node(1), node(2)
WEB = service("web", replicas=3)
PINNED = service("pinned", constraints=(f"node.hostname=={host(1)}",))
MINUTE = timedelta(minutes=1)


def sorted_out(services: list[Service], tasks: list[Task]) -> Stranded:
    """With node 1 about to leave, and node 2 there."""
    return stranded({ONE.id}, nodes=[ONE, TWO], services=services, tasks=tasks)


def test_where_all_fits_nothing_stays() -> None:
    assert sorted_out([WEB], [task(WEB, 1, ONE)]) == Stranded(frozenset({WEB.id}), frozenset(), timedelta())


def test_what_fits_is_told_from_what_does_not() -> None:
    found = sorted_out([WEB, PINNED], [task(WEB, 1, ONE), task(PINNED, 1, ONE)])
    assert found == Stranded(frozenset({WEB.id}), frozenset({PINNED.id}), STOP_GRACE)


def test_one_of_whose_tasks_not_all_fit_stays_whole() -> None:
    big = service("big", replicas=2, cpus=3 * CPU)
    assert sorted_out([big], [task(big, 1, ONE), task(big, 2, ONE)]).staying == {big.id}


def test_what_must_not_move_stays_and_what_runs_everywhere_neither_moves_nor_stays() -> None:
    job, everywhere = service("job", mode="replicated-job"), service("agent", mode="global")
    found = sorted_out([job, everywhere], [task(job, 1, ONE), task(everywhere, 0, ONE)])
    assert found == Stranded(frozenset(), frozenset({job.id}), STOP_GRACE)


def test_the_longest_stop_grace_of_what_stays_counts() -> None:
    slow = service("slow", constraints=PINNED.constraints, stop_grace=MINUTE)
    quick = service("quick", constraints=PINNED.constraints, stop_grace=timedelta())
    moves = service("moves", stop_grace=10 * MINUTE)
    tasks = [task(each, 1, ONE) for each in (slow, quick, moves)]
    assert sorted_out([slow, quick, moves], tasks).stop_grace == MINUTE
    assert sorted_out([quick], tasks[1:2]).stop_grace == timedelta()


def test_what_stays_runs_for_half_of_the_time_however_long_it_takes_to_stop() -> None:
    whole = 2 * MINUTE
    assert wait_for(whole, timedelta(seconds=10)) == timedelta(seconds=95)
    assert wait_for(whole, timedelta(seconds=40)) == timedelta(seconds=65)
    assert wait_for(whole, 10 * MINUTE) == MINUTE
