"""What a container's command would do: how long it runs and how it exits.

Enough of a shell for tests that run the same commands in real containers: `true`, `false`, `sleep N`, `exit N`, and
`sh -c` around a list of these. Everything else runs until it is stopped.
"""

import shlex
from dataclasses import dataclass

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds until the program ends by itself, and its exit code then."""

    seconds: float
    exit_code: int = 0


def run_of(command: tuple[str, ...]) -> Run:
    if len(command) >= 3 and command[0].endswith("sh") and command[1] == "-c":
        return _run_of_script(command[2])
    return _run_of_words(command)


def _run_of_script(script: str) -> Run:
    seconds = 0.0
    run = Run(0.0)
    for line in script.replace("&&", ";").split(";"):
        run = _run_of_words(tuple(shlex.split(line)))
        seconds += run.seconds
        if run.seconds == FOREVER or line.split()[:1] == ["exit"]:
            break
    return Run(seconds, run.exit_code)


def _run_of_words(words: tuple[str, ...]) -> Run:
    match words:
        case ["true" | "/bin/true"]:
            return Run(0.0)
        case ["false" | "/bin/false"]:
            return Run(0.0, 1)
        case ["exit", code]:
            return Run(0.0, int(code))
        case ["sleep" | "/bin/sleep", duration] if duration.replace(".", "", 1).isdigit():
            return Run(float(duration))
        case _:
            return Run(FOREVER)
