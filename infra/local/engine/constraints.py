"""Placement constraints: `node.labels.zone == a`, `node.role != manager`, and so on.

Values are compared without regard to case, as Swarm does; node ids exactly.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from infra.local.engine.errors import refused
from infra.local.engine.model import Node

_FORM = re.compile(r"^\s*(?P<key>[\w][\w\-.]*)\s*(?P<operator>==|!=)\s*(?P<value>.*?)\s*$")
_NODE_LABELS = "node.labels."
_ENGINE_LABELS = "engine.labels."
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison that a node passes or not."""

    key: str
    equal: bool
    value: str

    def admits(self, node: Node) -> bool:
        key = self.key.lower()
        if key == "node.id":
            return self._compare(node.id == self.value)
        if key == "node.ip":
            return self._compare(_in_network(node.machine.address, self.value))
        found = self._found(key, node)
        return found is not None and self._compare(found.lower() == self.value.lower())

    def _compare(self, same: bool) -> bool:
        return same is self.equal

    def _found(self, key: str, node: Node) -> str | None:
        """What the node has under the key; None for a key that is unknown."""
        if key.startswith(_NODE_LABELS):
            return node.spec.labels.get(self.key[len(_NODE_LABELS) :], "")
        if key.startswith(_ENGINE_LABELS):
            return node.machine.engine_labels.get(self.key[len(_ENGINE_LABELS) :], "")
        return {
            "node.hostname": node.machine.hostname,
            "node.role": node.role.value,
            "node.platform.os": node.machine.os,
            "node.platform.arch": self._architecture(node.machine.architecture),
        }.get(key)

    def _architecture(self, machine: str) -> str:
        """Swarm takes amd64 and x86_64 for the same."""
        same = _ARCHITECTURES.get(machine, machine) == _ARCHITECTURES.get(self.value, self.value)
        return self.value if same else machine


def parse(expressions: tuple[str, ...]) -> tuple[Constraint, ...]:
    """The constraints; an expression that is none is refused in the engine's words."""
    return tuple(_parse_one(expression) for expression in expressions)


def _parse_one(expression: str) -> Constraint:
    match = _FORM.match(expression)
    if match is None:
        operators = "constraint expected one operator from ==, !="
        raise refused("Unknown", operators)
    return Constraint(match["key"], match["operator"] == "==", match["value"])


def _in_network(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
