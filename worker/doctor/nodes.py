"""The nodes of the Swarm beside the instances of the groups: whether each is known to be which. Pure."""

from collections.abc import Sequence

from worker.decisions.matching import INSTANCE_LABEL, claimants, dispute, disputed, matched
from worker.doctor.finding import Finding, judged
from worker.ports.scaling import Group, Phase
from worker.ports.swarm import Node

_LABEL_LINE = f'{{"labels": ["{INSTANCE_LABEL}=i-..."]}} in /etc/docker/daemon.json'


def nodes(groups: Sequence[Group], swarm: Sequence[Node]) -> list[Finding]:
    """The engine labels, then who is which instance."""
    ready = [node for node in swarm if node.ready]
    bare = [f"{node.hostname} ({node.id})" for node in ready if not node.engine_labels.get(INSTANCE_LABEL)]
    labels = [f"without {INSTANCE_LABEL}: {', '.join(bare)}; give each engine {_LABEL_LINE}"] if bare else []
    return [
        *judged("engine labels", labels, f"each Ready node has {INSTANCE_LABEL}"),
        *judged(
            "nodes", _unmatched(groups, ready), f"each of {len(ready)} Ready nodes is an instance, and the reverse"
        ),
    ]


def _unmatched(groups: Sequence[Group], ready: Sequence[Node]) -> list[str]:
    instances = [each for group in groups for each in group.instances]
    claims, node_of = claimants(ready, instances), matched(ready, instances)
    known = {node.id for claiming in claims.values() for node in claiming}
    names = " or ".join(group.name for group in groups)
    problems = [f"instance {each} is {dispute(claiming)}" for each, claiming in claims.items() if disputed(claiming)]
    problems += [
        f"instance {each.id} of Auto Scaling group {group.name} is in service and no Ready node of the Swarm: "
        f"look at its boot log (aws ec2 get-console-output --instance-id {each.id})"
        for group in groups
        for each in group.instances
        if each.phase is Phase.IN_SERVICE and each.id not in node_of and each.id not in claims
    ]
    problems += [
        f"node {node.hostname} ({node.id}) is no instance of {names}: correct its "
        f"engine label {INSTANCE_LABEL}, or the names of the groups; the scaler never removes it"
        for node in ready
        if node.id not in known
    ]
    return problems
