"""Descriptions at the cost of what has changed: each reservation, and each member of a group, is written once, and
kept until it changes.

moto writes an instance in 1.5 ms, its sixty fields looked for under several names each; a thousand of them would take
longer than a caller waits. What is kept of a reservation is moto's own XML, and counts until somebody says that one of
its instances has changed, or that anything may have. A member of a group counts while it looks as it did.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from moto.core.responses import ActionContext, ActionResult

_OPEN: Final = "<reservationSet>"
_CLOSE: Final = "</reservationSet>"
_NONE: Final = "<reservationSet/>"
_MEMBERS_OPEN: Final = "<Instances>"
_MEMBERS_CLOSE: Final = "</Instances>"
_NO_MEMBERS: Final = "<Instances/>"
_MEMBER_CLOSE: Final = "</member>"


class Descriptions:
    """What is kept, by reservation. Under the world's lock, as everything of moto's."""

    def __init__(self) -> None:
        self._changes: Counter[str] = Counter()
        self._of_all = 0
        self._kept: dict[str, tuple[object, str]] = {}

    def changed(self, instance_ids: Iterable[str]) -> None:
        """These do not look any more as they did."""
        self._changes.update(instance_ids)

    def all_changed(self) -> None:
        """Whatever it was, any of them may look otherwise now."""
        self._of_all += 1

    def written(self, reservation: Any, write: Callable[[], str]) -> str:
        """A reservation's XML: as it was written last, or written now."""
        seen = self._of_all, [(each.id, self._changes[each.id]) for each in reservation.instances]
        kept = self._kept.get(reservation.id)
        if kept is None or kept[0] != seen:
            kept = self._kept[reservation.id] = seen, write()
        return kept[1]


class Described(ActionResult):  # type: ignore[misc] # moto has no types
    """The result of DescribeInstances, put together from what is kept."""

    def __init__(self, result: Mapping[str, Any], descriptions: Descriptions) -> None:
        super().__init__(result)
        self._descriptions = descriptions

    def execute_result(self, context: ActionContext) -> Any:
        """Status, headers and body."""
        status, headers, body = ActionResult({**self.result, "Reservations": []}).execute_result(context)
        items = [
            self._descriptions.written(each, lambda each=each: _item(each, context))  # type: ignore[misc]
            for each in self.result["Reservations"]
        ]
        return status, headers, body.replace(_NONE, f"{_OPEN}{''.join(items)}{_CLOSE}", 1)


def _item(reservation: Any, context: ActionContext) -> str:
    body: str = ActionResult({"Reservations": [reservation]}).execute_result(context)[2]
    return body[body.index(_OPEN) + len(_OPEN) : body.rindex(_CLOSE)]


Members = dict[str, dict[str, tuple[object, str]]]
"""By group and instance: how it looked when it was written, and its XML."""


class DescribedGroups(ActionResult):  # type: ignore[misc] # moto has no types
    """The result of DescribeAutoScalingGroups, whose members are put together from what is kept."""

    def __init__(self, result: Mapping[str, Any], kept: Members) -> None:
        super().__init__(result)
        self._kept = kept

    def execute_result(self, context: ActionContext) -> Any:
        """Status, headers and body."""
        groups = self.result["AutoScalingGroups"]
        empty = {**self.result, "AutoScalingGroups": [_with_members(group, []) for group in groups]}
        status, headers, body = ActionResult(empty).execute_result(context)
        first, *rest = body.split(_NO_MEMBERS)
        filled = [
            f"{_MEMBERS_OPEN}{self._members(group, context)}{_MEMBERS_CLOSE}{after}"
            if group.instance_states
            else f"{_NO_MEMBERS}{after}"
            for group, after in zip(groups, rest, strict=True)
        ]
        return status, headers, first + "".join(filled)

    def _members(self, group: Any, context: ActionContext) -> str:
        kept = self._kept.get(group.name, {})
        looks = {state.instance_id: _look(state) for state in group.instance_states}
        changed = [
            state
            for state in group.instance_states
            if kept.get(state.instance_id, (None,))[0] != looks[state.instance_id]
        ]
        items = zip(changed, _member_items(group, changed, context), strict=True)
        written = {state.instance_id: (looks[state.instance_id], item) for state, item in items}
        present = self._kept[group.name] = {each: written.get(each) or kept[each] for each in looks}
        return "".join(item for _, item in present.values())


def _look(state: Any) -> object:
    """All that is shown of a member."""
    plain = [value for value in vars(state).values() if isinstance(value, str | bool | None)]
    return plain, state.launch_template, getattr(state, "launch_configuration_name", None)


def _member_items(group: Any, states: Sequence[Any], context: ActionContext) -> list[str]:
    if not states:
        return []
    only = {"AutoScalingGroups": [_with_members(group, states)]}
    body: str = ActionResult(only).execute_result(context)[2]
    written = body[body.index(_MEMBERS_OPEN) + len(_MEMBERS_OPEN) : body.index(_MEMBERS_CLOSE)]
    return [f"{item}{_MEMBER_CLOSE}" for item in written.split(_MEMBER_CLOSE)[:-1]]


def _with_members(group: Any, states: Sequence[Any]) -> Any:
    shown = copy.copy(group)
    shown.instance_states = list(states)
    return shown
