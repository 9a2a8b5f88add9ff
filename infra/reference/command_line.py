"""The command line, from its own parser: commands, options, exit codes, variables, and the columns of piped tables."""

import argparse
from collections.abc import Iterator

from cli import parser, records, state
from cli.commands import dead_letters
from cli.settings import VARIABLES
from infra.reference.markdown import code, table


def commands() -> str:
    """Each command with its arguments."""
    return table(("command", "does"), [(code(_usage(name, each)), _text(each)) for name, each in _commands()])


def options() -> str:
    """Each option, once for all commands that have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, command in _commands():
        for action in command._actions:  # noqa: SLF001 - argparse shows them nowhere else
            if action.option_strings and not isinstance(action, argparse._HelpAction):  # noqa: SLF001
                found.setdefault((_option(action), f"{action.help}."), []).append(name)
    everything = [name for name, _ in _commands()]
    rows = [
        (code(option), "every command" if names == everything else ", ".join(map(code, names)), _sentence(text))
        for (option, text), names in found.items()
    ]
    return table(("option", "of", "does"), rows)


def exits() -> str:
    """The exit codes."""
    return table(("exit code", "means"), [(str(exit_code), text) for exit_code, text in parser.EXITS.items()])


def variables() -> str:
    """What it reads of the environment."""
    rows = [(code(name), code(given) if given != "unset" else given, text) for name, (given, text) in VARIABLES.items()]
    return table(("variable", "default", "meaning"), rows)


def columns() -> str:
    """What piped lines hold, between tabs."""
    rows = [
        *(("`status`", code(kind), names) for kind, names in _STATUS.items()),
        ("`requests`", "", records.COLUMNS),
        *(("`show`", code(kind), names) for kind, names in _SHOW.items()),
        ("`explain`", code("node"), records.NODES),
        ("`dead-letters list`", "", dead_letters.COLUMNS),
    ]
    return table(("of", "begins with", "columns"), [(of, kind, ", ".join(names)) for of, kind, names in rows])


_STATUS = {
    "cluster": state.CLUSTER,
    "problem": state.PROBLEMS,
    "group": state.GROUPS,
    "node": state.NODES,
    "request": records.COLUMNS,
    "queue": state.QUEUE,
}
_SHOW = {"fact": records.FACTS, "step": records.STEPS, "node": records.NODES, "notice": records.NOTICES}


def _commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser.build()._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def _usage(name: str, command: argparse.ArgumentParser) -> str:
    """As it is typed; `--json` is left out, all of them have it."""
    words = [f"scaler {name}"]
    for action in command._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if isinstance(action, argparse._HelpAction) or action.dest in ("json", "timeout", "reason"):  # noqa: SLF001
            continue
        words.append(f"[{_option(action)}]" if action.option_strings else _argument(action))
    return " ".join(words)


def _option(action: argparse.Action) -> str:
    taken = "|".join(map(str, action.choices)) if action.choices else action.metavar
    return f"{action.option_strings[0]} {taken}" if action.nargs != 0 and taken else action.option_strings[0]


def _argument(action: argparse.Action) -> str:
    word = "|".join(map(str, action.choices)) if action.choices else str(action.metavar or action.dest)
    many = {"?": f"[{word}]", "*": f"[{word}...]"}
    return many.get(str(action.nargs), word)


def _text(command: argparse.ArgumentParser) -> str:
    return command.description or ""


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
