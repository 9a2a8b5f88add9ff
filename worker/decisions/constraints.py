"""Swarm's placement constraints, read as swarmkit reads them: `key==value` or `key!=value`, whole values, no globs.

Keys and values are compared without regard to case, names of labels with it; a label that is not there is the empty
string. https://github.com/moby/swarmkit/blob/master/manager/constraint/constraint.go
Where swarmkit would be lenient (an expression it cannot read switches the filter off), this says no.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.ports.swarm import Node

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
_NODE_LABEL, _ENGINE_LABEL = "node.labels.", "engine.labels."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One expression. Equal: `==`, else `!=`."""

    text: str
    key: str
    equal: bool
    value: str

    def holds(self, node: Node) -> bool:
        """Whether a task with this constraint may run on the node."""
        if self.key.lower() == "node.ip":
            return self._holds_address(node.address)
        values = _values(self.key, node)
        if values is None:
            return False
        wanted = self.value.lower()
        return all((value.lower() == wanted) == self.equal for value in values)

    def _holds_address(self, address: str) -> bool:
        """A single address, or a subnet; what is neither holds nowhere."""
        own = _ip(address)
        single = _ip(self.value)
        if single is not None:
            return (own == single) == self.equal
        subnet = _subnet(self.value)
        return subnet is not None and (own is not None and own in subnet) == self.equal


def parse(text: str) -> Constraint:
    """An expression, or one that never holds where it cannot be read."""
    operator = next((operator for operator in ("==", "!=") if operator in text), "")
    key, _, value = (part.strip() for part in text.partition(operator)) if operator else ("", "", "")
    return Constraint(text, key if _KEY.fullmatch(key) else "", operator == "==", value)


def holding(constraints: Sequence[Constraint], nodes: Sequence[Node]) -> list[Node]:
    """The nodes on which all of them hold."""
    return [node for node in nodes if all(constraint.holds(node) for constraint in constraints)]


def _values(key: str, node: Node) -> tuple[str, ...] | None:
    """What a key stands for on a node. None: nothing that swarmkit knows.

    A node whose role is being changed has two; a constraint must hold for both.
    """
    lowered = key.lower()
    if lowered.startswith(_NODE_LABEL) and len(key) > len(_NODE_LABEL):
        return (node.labels.get(key[len(_NODE_LABEL) :], ""),)
    if lowered.startswith(_ENGINE_LABEL) and len(key) > len(_ENGINE_LABEL):
        return (node.engine_labels.get(key[len(_ENGINE_LABEL) :], ""),)
    return {
        "node.id": (node.id,),
        "node.hostname": (node.hostname,),
        "node.role": (node.role, "worker" if node.manager is None else "manager"),
        "node.platform.os": (node.os,),
        "node.platform.arch": (node.architecture,),
    }.get(lowered)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _ip(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _subnet(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    address, _, prefix = text.partition("/")
    try:
        return ipaddress.ip_network(f"{address}/{int(prefix)}", strict=False)
    except ValueError:
        return None
