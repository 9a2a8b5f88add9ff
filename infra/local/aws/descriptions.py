"""DescribeInstances at the cost of what has changed: each reservation is written once, and kept until it changes.

moto writes an instance in 1.5 ms, its sixty fields looked for under several names each; a thousand of them would take
longer than a caller waits. What is kept of a reservation is moto's own XML, and counts until somebody says that one of
its instances has changed, or that anything may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from moto.core.responses import ActionContext, ActionResult

_OPEN: Final = "<reservationSet>"
_CLOSE: Final = "</reservationSet>"
_NONE: Final = "<reservationSet/>"


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
