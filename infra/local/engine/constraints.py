"""Placement constraints: `node.labels.zone == a`, `node.role != manager`, and so on.

Read as swarmkit reads them: keys and values are compared without regard to case, names of labels with it; a label that
is not there is the empty string; a role is the one that the node has, not the one that is wanted; an unknown key, or an
address that is none, holds nowhere. https://github.com/moby/swarmkit/blob/master/manager/constraint/constraint.go
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from infra.local.engine.errors import refused
from infra.local.engine.model import Node

_FORM = re.compile(r"^\s*(?P<key>[\w][\w\-.]*)\s*(?P<operator>==|!=)\s*(?P<value>.*?)\s*$")
_NODE_LABELS = "node.labels."
_ENGINE_LABELS = "engine.labels."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison that a node passes or not."""

    key: str
    equal: bool
    value: str

    def admits(self, node: Node) -> bool:
        same = self._is_at(node.machine.address) if self.key.lower() == "node.ip" else self._is_value_of(node)
        return same is not None and same is self.equal

    def _is_value_of(self, node: Node) -> bool | None:
        """Whether the node has this value under the key; None for a key that is unknown."""
        key = self.key.lower()
        if key.startswith(_NODE_LABELS):
            own: str | None = node.spec.labels.get(self.key[len(_NODE_LABELS) :], "")
        elif key.startswith(_ENGINE_LABELS):
            own = node.machine.engine_labels.get(self.key[len(_ENGINE_LABELS) :], "")
        else:
            own = {
                "node.id": node.id,
                "node.hostname": node.machine.hostname,
                "node.role": node.role.value,
                "node.platform.os": node.machine.os,
                "node.platform.arch": node.machine.architecture,
            }.get(key)
        return None if own is None else own.lower() == self.value.lower()

    def _is_at(self, address: str) -> bool | None:
        """Whether the address is this one, or in this subnet; None for what is neither."""
        subnet, is_subnet, prefix = self.value.partition("/")
        try:
            if not is_subnet:
                return _bare(address) == _bare(self.value)
            return _bare(address) in ip_network(f"{subnet}/{int(prefix)}", strict=False)
        except ValueError:
            return None


def parse(expressions: tuple[str, ...]) -> tuple[Constraint, ...]:
    """The constraints; an expression that is none is refused in the engine's words."""
    return tuple(_parse_one(expression) for expression in expressions)


def _parse_one(expression: str) -> Constraint:
    match = _FORM.match(expression)
    if match is None:
        operators = "constraint expected one operator from ==, !="
        raise refused("Unknown", operators)
    return Constraint(match["key"], match["operator"] == "==", match["value"])


def _bare(text: str) -> IPv4Address | IPv6Address:
    """An address; one of version 4 that is written as one of version 6 is the same. Raises ValueError."""
    address = ip_address(text)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
