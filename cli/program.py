"""The program: reads the command line, runs the command, and turns every trouble into a line and an exit code."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cli import parser
from cli.commands import asking, completion, doctor, looking
from cli.complaints import Complaint, Exit
from cli.context import Context
from cli.following import Pace
from cli.output import Output, swallow_output, warn
from shared.errors import ScalerError, Unavailable

Command = Callable[[Context, Any], Exit]


def _dead_letters(context: Context, arguments: Any) -> Exit:
    from cli.commands import dead_letters  # noqa: PLC0415 - the AWS SDK takes as long to load as all the rest

    return dead_letters.dead_letters(context, arguments)


COMMANDS: Final[Mapping[str, Command]] = {
    "status": looking.status,
    "requests": looking.requests,
    "show": looking.show,
    "nodes": asking.nodes,
    "service": asking.service,
    "reschedule": asking.reschedule,
    "node": asking.node,
    "explain": asking.explain,
    "pause": asking.pause,
    "resume": asking.resume,
    "cancel": asking.cancel,
    "dead-letters": _dead_letters,
    "doctor": doctor.doctor,
    "completion": completion.completion,
}


def main(words: Sequence[str]) -> int:
    """The exit code."""
    try:
        arguments = parser.build().parse_args(words)
        context = Context(os.environ, Output(sys.stdout, as_json=arguments.json), Pace())
        return int(_ended(COMMANDS[arguments.command], context, arguments))
    except BrokenPipeError:
        swallow_output()
        return int(Exit.DONE)


def _ended(command: Command, context: Context, arguments: Any) -> Exit:
    try:
        return command(context, arguments)
    except Complaint as complaint:
        for line in str(complaint).splitlines():
            warn(line)
        return complaint.code
    except ScalerError as error:  # the AWS SDK's, of dead letters
        warn(str(error))
        return Exit.UNREACHABLE if isinstance(error, Unavailable) else Exit.FAILED
    except KeyboardInterrupt:
        return Exit.DONE
