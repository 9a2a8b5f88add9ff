"""The commands, their arguments and their help: what `--help`, completion and docs/reference.md are made from."""

import argparse
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

from cli import durations
from cli.settings import VARIABLES
from shared import __version__

SHELLS: Final = ("bash", "zsh")
STATES: Final = ("queued", "running", "succeeded", "failed", "skipped")
EXITS: Final = {
    0: "done",
    1: "failed or refused",
    2: "wrong usage",
    3: "not reachable",
    4: "still running: after `--timeout`, or when you press Ctrl-C",
    5: "skipped: nothing was changed",
}
MAX_BY: Final = 10000
"""That of `shared.fields`, which a test compares: loading it takes longer than everything else here."""
LONGEST_ANSWER: Final = timedelta(seconds=60)
"""How long a dry run is waited for, where nobody says: it ends as soon as a worker takes it."""

Commands = Any  # argparse's own class for subcommands is private


def build() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="scaler",
        description="Docker Scaler from the command line: see, ask, steer, stop.",
        epilog="\n".join(_epilog()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"scaler {__version__}")
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for add in (_looking, _nodes, _services, _one_node, _explain, _steering, _dead_letters, _itself):
        add(commands)
    return parser


def _looking(commands: Commands) -> None:
    status = _command(commands, "status", "Groups, nodes, open requests, pause, queue.")
    status.add_argument("--watch", action="store_true", help="show it again whenever it changes, until Ctrl-C")
    listed = _command(commands, "requests", "The newest requests.")
    listed.add_argument("-n", type=_number(100), default=20, metavar="N", help="how many, 1 to 100 (20)")
    listed.add_argument("--state", choices=STATES, help="only those in this state")
    listed.add_argument("--follow", action="store_true", help="go on with each that changes, until Ctrl-C")
    show = _command(commands, "show", "One request: steps, times, plan, notices.")
    show.add_argument("id", metavar="ID", help="the request's id")
    show.add_argument("--follow", action="store_true", help="follow it to its end; exits with the outcome")
    _timeout(show)


def _nodes(commands: Commands) -> None:
    nodes = _command(commands, "nodes", "Scale the nodes of one type up or down; exits with the outcome.")
    nodes.add_argument("scale", choices=("up", "down"), help="the direction")
    _by(nodes, "how many nodes; unless given, what the defaults say")
    _type(nodes)
    _asking(nodes)


def _services(commands: Commands) -> None:
    service = _command(commands, "service", "Scale the replicas of one service up or down.")
    service.add_argument("scale", choices=("up", "down"), help="the direction")
    service.add_argument("name", metavar="NAME", help="the service")
    _by(service, "how many replicas; unless given, what its labels or the defaults say")
    _asking(service)
    reschedule = _command(commands, "reschedule", "Reschedule every labelled service, or one.")
    reschedule.add_argument("name", metavar="NAME", nargs="?", help="only this service")
    _asking(reschedule)


def _one_node(commands: Commands) -> None:
    node = _command(commands, "node", "Replace or drain one node, or give it back.")
    node.add_argument("what", choices=("replace", "drain", "undrain"), help="what becomes of it")
    node.add_argument("name", metavar="NAME", help="its hostname, node id or instance id")
    _asking(node)


def _explain(commands: Commands) -> None:
    explain = _command(commands, "explain", "What scaling down or up would do, a line for each node; changes nothing.")
    explain.add_argument("scale", choices=("down", "up"), help="the direction")
    _by(explain, "how many nodes; unless given, what the defaults say")
    _type(explain)
    _timeout(explain, "60s")


def _steering(commands: Commands) -> None:
    pause = _command(commands, "pause", "Node scales and replacements end as skipped until resumed.")
    pause.add_argument("--for", type=_time, dest="time", metavar="TIME", help="resume by itself after that: 90s, 2h")
    resume = _command(commands, "resume", "End the pause.")
    cancel = _command(commands, "cancel", "Cancel a request, where it still can be.")
    cancel.add_argument("id", metavar="ID", help="the request's id")
    for command in (pause, resume, cancel):
        _reason(command)
        _timeout(command)


def _dead_letters(commands: Commands) -> None:
    letters = _command(
        commands,
        "dead-letters",
        "What could never be valid: with the AWS SDK's credentials, SQS_DLQ_URL, SQS_QUEUE_URL.",
    )
    letters.add_argument(
        "what",
        nargs="?",
        default="list",
        choices=("list", "show", "send-again", "drop"),
        help="list them (unless said otherwise), show one, put some back into the queue, or drop some for good",
    )
    letters.add_argument("ids", metavar="ID", nargs="*", help="which; the beginning of an id is enough")
    letters.add_argument("--all", action="store_true", help="send-again, drop: every one that is there")


def _itself(commands: Commands) -> None:
    _command(commands, "doctor", "What is wrong on this machine for a worker, and what to do; changes nothing.")
    completion = _command(commands, "completion", "The completion script of a shell, to be sourced.")
    completion.add_argument("shell", choices=SHELLS, help="the shell")


def _command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """A command. All of them can answer in JSON."""
    formatter = argparse.RawDescriptionHelpFormatter
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, formatter_class=formatter, allow_abbrev=False
    )
    added.add_argument("--json", action="store_true", help="answer in JSON")
    return added


def _by(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("-n", type=_number(MAX_BY), dest="by", metavar="N", help=text)


def _type(command: argparse.ArgumentParser) -> None:
    command.add_argument("--type", choices=("worker", "manager"), default="worker", help="the type of node (worker)")


def _asking(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="say what it would do, and change nothing")
    command.add_argument("--no-wait", action="store_true", help="end as soon as it is queued; prints its id")
    _reason(command)
    _timeout(command)


def _reason(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", metavar="WHY", help="why, for whoever reads the record")


def _timeout(command: argparse.ArgumentParser, default: str = "until it ends") -> None:
    text = f"follow no longer than that, then exit with 4 ({default})"
    command.add_argument("--timeout", type=_time, metavar="TIME", help=text)


def _number(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {most}")
        return int(text)

    return number


def _time(text: str) -> timedelta:
    try:
        return durations.parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _epilog() -> Iterator[str]:
    yield "variables (each may be given as X_FILE, a path, too):"
    yield from (f"  {name} ({default})\n      {meaning}" for name, (default, meaning) in VARIABLES.items())
    yield "\nexit codes:"
    yield from (f"  {code}  {meaning}" for code, meaning in EXITS.items())
    yield "\nCompletion: source <(scaler completion bash), or zsh."
