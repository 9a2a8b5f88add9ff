"""Makes things go wrong in a running environment (`make up`), and right again.

show                               what is wrong now, as JSON
clear                              nothing goes wrong any more
boot-delay 20                      machines take 20 s to become nodes
never-join 1                       the next launched instance never becomes a node
refuse-launches InsufficientInstanceCapacity    AWS launches nothing, for this reason; `off`: it does again
kill-launches Client.InvalidKMSKey.InvalidState    AWS takes back what it launches, for this reason; `off`: it does not
lag 20                             Describe calls tell the state of 20 s ago; 0: of now
aws-slow 2 [SERVICE]               calls take 2 s longer (SERVICE: sqs, dynamodb, autoscaling.SetDesiredCapacity ...)
aws-throttle [SERVICE]             calls are throttled; `aws-throttle off` ends it
aws-down [SERVICE]                 connections are cut; `aws-down off` ends it
docker-slow 5 [/PATH]              the Docker API takes 5 s longer
docker-fail [/PATH]                it answers 500; `docker-down`: it cuts connections; `docker-ok`: all well again
stuck NAME                         tasks of that service, or on that node, do not stop; `unstick`: they do
freeze SERVICE, unfreeze           its rolling updates make no progress
alertmanager hang|fail|ok          it does not answer, answers 500, is well
lose NODE, return NODE             the node's machine dies, boots again
interrupt NODE [20]                AWS takes the node's machine as a spot instance, with 120 s (20 s) of notice
recommend-rebalance NODE           AWS recommends to replace it
retire NODE [DAYS]                 AWS announces the end of its hardware, in 14 days
rebalance-zones [GROUP]            AWS evens out the zones of the group `worker`, or `manager`; unprotected ones only
refresh [GROUP [Wait|Ignore]]      AWS replaces its instances, one after the other; Wait: an hour for protected ones
set PART JSON                      any setting of `show`: set boot '{"next_boot_delays": [1, 60]}'
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from infra.local.surroundings import FOLDER

Body = dict[str, Any]
Call = tuple[str, str, Body | None]


class Mistyped(Exception):
    """A command that there is not, or not so."""


def main() -> int:
    """The exit code: 2 where the command is wrong, 1 where the environment refuses it."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.fault",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--url URL] COMMAND [VALUE ...]",
    )
    parser.add_argument("--url", help="where the environment listens; default: CONTROL_URL, else from .local/env")
    parser.add_argument("command", metavar="COMMAND")
    parser.add_argument("values", metavar="VALUE", nargs="*")
    asked = parser.parse_args()
    try:
        url = asked.url or control_url(os.environ, FOLDER / "env")
        print(json.dumps(send(url, *call_of(asked.command, asked.values)), indent=2))
    except Mistyped as error:
        parser.error(str(error))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def call_of(command: str, values: Sequence[str]) -> Call:
    """The HTTP call for a command: method, path, body. Raises Mistyped."""
    if command not in _COMMANDS:
        raise Mistyped(f"there is no command {command}; there are: {', '.join(_COMMANDS)}")
    make, fewest, most = _COMMANDS[command]
    if not fewest <= len(values) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise Mistyped(f"{command} takes {wanted} value(s), not {len(values)}")
    return make(*values)


def control_url(environ: Mapping[str, str], env_file: Path) -> str:
    """Where the environment takes faults: what `.local/env` says counts, if there is one. Raises OSError."""
    if env_file.exists():
        found = re.search(r"^export CONTROL_URL=(\S+)$", env_file.read_text(), re.MULTILINE)
        if found:
            return found[1]
    if "CONTROL_URL" not in environ:
        raise FileNotFoundError(f"no environment is running here: there is no {env_file} (start one with `make up`)")
    return environ["CONTROL_URL"]


def send(url: str, method: str, path: str, body: Body | None) -> Any:
    """The answer. Raises OSError with what the environment says."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, method=method)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise OSError(json.load(error)["error"]) from error
    except urllib.error.URLError as error:
        raise OSError(f"nobody answers at {url} ({error.reason})") from error


def _patch(part: str, **settings: Any) -> Call:
    return "PATCH", f"/faults/{part}", settings


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Mistyped(f"{text} is no number") from None


def _refuse(reason: str, group: str = "*") -> Call:
    return _patch("aws", refuse_launches=None if reason == "off" else {group: reason})


def _kill(reason: str, group: str = "*") -> Call:
    return _patch("aws", kill_launches=None if reason == "off" else {group: reason})


def _throttle(service: str = "*") -> Call:
    return _patch("aws", errors=None if service == "off" else {service: "throttle"})


def _aws_down(service: str = "*") -> Call:
    return _patch("aws", down=None if service == "off" else [service])


def _docker(prefix: str = "/", **rule: Any) -> Call:
    return _patch("docker", api=[{"prefix": prefix, **rule}])


def _stuck(name: str) -> Call:
    """Nodes are called as AWS calls them."""
    return _patch("docker", **{"unstoppable_nodes" if name.startswith("ip-") else "unstoppable_services": [name]})


def _alertmanager(fault: str) -> Call:
    return _patch("alertmanager", fault="none" if fault == "ok" else fault)


def _interrupt(node: str, seconds: str = "") -> Call:
    return "POST", f"/instances/{node}/interrupt", {"notice_seconds": _number(seconds)} if seconds else {}


def _retire(node: str, days: str = "") -> Call:
    return "POST", f"/instances/{node}/retire", {"days": _number(days)} if days else {}


def _refresh(group: str = "worker", protected: str = "Refresh") -> Call:
    return "POST", f"/groups/{group}/refresh", {"protected": protected}


def _set(part: str, text: str) -> Call:
    try:
        return "PATCH", f"/faults/{part}", json.loads(text)
    except ValueError as error:
        raise Mistyped(f"{text} is no JSON: {error}") from error


_COMMANDS: Final[Mapping[str, tuple[Callable[..., Call], int, int]]] = {
    "show": (lambda: ("GET", "/faults", None), 0, 0),
    "clear": (lambda: ("DELETE", "/faults", None), 0, 0),
    "boot-delay": (lambda seconds: _patch("boot", boot_delay_seconds=_number(seconds)), 1, 1),
    "never-join": (lambda count: _patch("boot", never_join_next=int(_number(count))), 1, 1),
    "refuse-launches": (_refuse, 1, 2),
    "kill-launches": (_kill, 1, 2),
    "lag": (lambda seconds: _patch("aws", describe_lag_seconds=_number(seconds)), 1, 1),
    "aws-slow": (lambda seconds, service="*": _patch("aws", latency_seconds={service: _number(seconds)}), 1, 2),
    "aws-throttle": (_throttle, 0, 1),
    "aws-down": (_aws_down, 0, 1),
    "docker-slow": (lambda seconds, path="/": _docker(path, delay=_number(seconds)), 1, 2),
    "docker-fail": (lambda path="/": _docker(path, status=500), 0, 1),
    "docker-down": (lambda path="/": _docker(path, drop=True), 0, 1),
    "docker-ok": (lambda: _patch("docker", api=[]), 0, 0),
    "stuck": (_stuck, 1, 1),
    "unstick": (lambda: _patch("docker", unstoppable_services=[], unstoppable_nodes=[]), 0, 0),
    "freeze": (lambda service: _patch("docker", frozen_updates=[service]), 1, 1),
    "unfreeze": (lambda: _patch("docker", frozen_updates=[]), 0, 0),
    "alertmanager": (_alertmanager, 1, 1),
    "lose": (lambda node: ("POST", f"/nodes/{node}/lose", None), 1, 1),
    "return": (lambda node: ("POST", f"/nodes/{node}/return", None), 1, 1),
    "interrupt": (_interrupt, 1, 2),
    "recommend-rebalance": (lambda node: ("POST", f"/instances/{node}/recommend-rebalance", {}), 1, 1),
    "retire": (_retire, 1, 2),
    "rebalance-zones": (lambda group="worker": ("POST", f"/groups/{group}/rebalance-zones", {}), 0, 1),
    "refresh": (_refresh, 0, 2),
    "set": (_set, 2, 2),
}


if __name__ == "__main__":
    sys.exit(main())
