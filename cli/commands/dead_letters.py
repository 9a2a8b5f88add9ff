"""`scaler dead-letters`: what could never be valid; looked at, put back, or dropped."""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Final

from cli.complaints import Complaint, Exit
from cli.context import Context
from cli.letters import MOST, Letter, Letters, opened
from cli.output import Output, Table, warn

COLUMNS: Final = ("id", "sent", "reason", "body")
_SHOWN_OF_A_BODY: Final = 200


def dead_letters(context: Context, arguments: Namespace) -> Exit:
    """Raises Complaint, and the errors of the AWS SDK as ours."""
    _check(arguments)
    return asyncio.run(_run(context, arguments))


def _check(arguments: Namespace) -> None:
    """What argparse cannot say: which of them need ids."""
    what, ids, everything = arguments.what, arguments.ids, arguments.all
    problem = None
    if what == "list" and (ids or everything):
        problem = "list takes no id: it lists all"
    elif what == "show" and (len(ids) != 1 or everything):
        problem = "show takes one id; list shows which there are"
    elif what in ("send-again", "drop") and bool(ids) == everything:
        problem = f"{what} takes ids, or --all for every one that is there"
    if problem:
        raise Complaint(Exit.USAGE, f"dead-letters {problem}")


async def _run(context: Context, arguments: Namespace) -> Exit:
    output = context.output
    async with opened(context.environ) as letters:
        found = await letters.all()
        await _say_more(letters)
        match arguments.what:
            case "list":
                _list(output, found)
            case "show":
                _show(output, _chosen(found, arguments.ids)[0])
            case _:
                await _act(output, letters, found if arguments.all else _chosen(found, arguments.ids), arguments.what)
    return Exit.DONE


async def _say_more(letters: Letters) -> None:
    """That there are more than are seen."""
    hidden = await letters.hidden()
    if hidden:
        warn(f"about {hidden} more are being looked at by somebody else: try again in a minute")
    if len(letters.seen) >= MOST:
        warn(f"there may be more than these {MOST}")


def _chosen(found: Sequence[Letter], ids: Sequence[str]) -> list[Letter]:
    """Those that are meant, all of them or none. Raises Complaint."""
    chosen: dict[str, Letter] = {}
    for given in ids:
        matching = [letter for letter in found if letter.id.startswith(given)]
        if len(matching) != 1:
            count = "no dead letter begins" if not matching else f"{len(matching)} dead letters begin"
            raise Complaint(Exit.FAILED, f"{count} with {given}: `scaler dead-letters list` shows which there are")
        chosen[matching[0].id] = matching[0]
    return list(chosen.values())


def _list(output: Output, found: Sequence[Letter]) -> None:
    if output.as_json:
        output.document({"dead_letters": [_document(letter) for letter in found]})
        return
    rows = [(letter.id, letter.sent_at, letter.reason, letter.body[:_SHOWN_OF_A_BODY]) for letter in found]
    output.table(Table(COLUMNS, rows))
    if not found:
        output.line("There are no dead letters.")


def _show(output: Output, letter: Letter) -> None:
    if output.as_json:
        output.document(_document(letter))
        return
    facts = [("id", letter.id), ("sent", letter.sent_at), *sorted(letter.attributes.items()), ("body", letter.body)]
    facts += [] if "error" in letter.attributes else [("error", letter.reason)]
    output.table(Table(("fact", "value"), facts))


async def _act(output: Output, letters: Letters, chosen: Sequence[Letter], what: str) -> None:
    """One after the other: what has been done is said, whatever becomes of the next."""
    done: list[dict[str, Any]] = []
    for letter in chosen:
        new = await letters.send_again(letter) if what == "send-again" else None
        if new is None and what != "send-again":
            await letters.drop(letter)
        done.append({"id": letter.id, **({"sent_as": new} if new else {})})
        if not output.as_json:
            words = f"sent again\t{new}" if new else "dropped"
            output.raw(f"{letter.id}\t{words}")
    if output.as_json:
        output.document({"done": done})


def _document(letter: Letter) -> dict[str, Any]:
    sent = None if letter.sent_at is None else letter.sent_at.isoformat()
    return {
        "id": letter.id,
        "sent_at": sent,
        "reason": letter.reason,
        "attributes": dict(letter.attributes),
        "body": letter.body,
    }
