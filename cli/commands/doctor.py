"""`scaler doctor`: what `scaler-worker --check` says, where a worker is installed.

The examination is the worker's own: it asks through the worker's settings, adapters and decisions, so that it judges by
what the worker will really do. Sharing it would put half of the worker where ingest and rules are; a process of its own
keeps both apart, and the check cannot differ from the worker that it is a check of.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence

from cli.complaints import Complaint, Exit
from cli.context import Context
from cli.output import Output, Table

_GOOD, _WRONG = "ok", "wrong"


def doctor(context: Context, arguments: Namespace) -> Exit:
    """Raises Complaint where no worker is installed."""
    del arguments
    command = _command()
    output, good, findings = context.output, True, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(context.environ)) as process:  # noqa: S603 - our own program
        for line in process.stdout or ():
            verdict, _, text = line.rstrip("\n").partition(" ")
            findings.append({"finding": verdict, "text": text.strip()})
            good = good and verdict == _GOOD
            if not output.as_json:
                _say(output, verdict, text.strip())
    if output.as_json:
        output.document({"findings": findings})
    if process.returncode == Exit.USAGE:
        return Exit.USAGE
    return Exit.DONE if good and process.returncode == 0 else Exit.FAILED


def _say(output: Output, verdict: str, text: str) -> None:
    """At once: some looks take seconds."""
    if output.person:
        output.line(f"{verdict:<5} {text}", "red" if verdict == _WRONG else "")
    else:
        output.table(Table(("finding", "text"), [(verdict, text)]))


def _command() -> Sequence[str]:
    if importlib.util.find_spec("worker") is not None and importlib.util.find_spec("docker") is not None:
        return sys.executable, "-m", "worker", "--check"
    found = shutil.which("scaler-worker", path=os.environ.get("PATH"))
    if found is None:
        text = (
            "No worker is installed here. On a manager, with the worker's own variables: docker exec "
            "$(docker ps -q -f name=scaler_worker | head -1) python3 -m worker --check. Or install one here: "
            "pip install 'docker-scaler[cli,worker]'"
        )
        raise Complaint(Exit.FAILED, text)
    return found, "--check"
