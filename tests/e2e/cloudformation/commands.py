"""An `aws` command for scripts under test: a folder for PATH whose `aws` does the call over the embedded AWS.

The command itself is a few lines that hand their arguments to this process, where boto3 is loaded already: a script
that calls `aws` fifty times takes seconds instead of a minute. Arguments are read by the API's own model, as the real
command does: JSON, the shorthand `Key=Value,Key=Value`, lists, `file://`; `--query` and `--output json|text`; `wait`.
"""

from __future__ import annotations

import json
import socketserver
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

_CLIENT: Final = """#!{python} -SI
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({socket!r})
    reads = {{"-", "--password-stdin", "file:///dev/stdin"}} & set(sys.argv)
    stdin = sys.stdin.read() if reads else ""
    line.sendall(json.dumps([{name!r}, sys.argv[1:], stdin, dict(os.environ)]).encode() + b"\\n")
    code, out, err = json.loads(line.makefile().read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
_GLOBAL: Final = {"--query", "--output", "--region", "--cli-connect-timeout", "--cli-read-timeout", "--endpoint-url"}

Answer = tuple[int, str, str]
Command = Callable[[Sequence[str], str, Mapping[str, str]], Answer]
"""Takes arguments, standard input and environment; gives exit code, standard output and standard error."""


@contextmanager
def on_path(folder: Path, **commands: Command) -> Iterator[Path]:
    """A folder to put first on PATH, in which each of `commands` is one that ends up in its function here."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            name, arguments, stdin, environ = json.loads(self.rfile.readline())
            self.wfile.write(json.dumps(commands[name](arguments, stdin, environ)).encode())

    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / "line")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name in commands:
            script = folder / name
            script.write_text(_CLIENT.format(python=sys.executable, socket=path, name=name))
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        yield folder
        server.shutdown()


class AwsCommand:
    """`aws SERVICE OPERATION --parameter value ...` over boto3 clients."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self.refuse: set[str] = set()
        """Operations (`ec2 describe-instances`) that fail as if AWS were away."""

    def __call__(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        options, words = _options(arguments)
        options.setdefault("--output", [environ.get("AWS_DEFAULT_OUTPUT", "json")])
        name = " ".join(words[:2])
        self.calls.append(name)
        if name in self.refuse:
            return 255, "", f"Could not connect to the endpoint URL of {words[0]}\n"
        try:
            return 0, self._called(words, options, stdin), ""
        except (ClientError, BotoCoreError, ValueError, KeyError) as error:
            return 254, "", f"\naws: {error}\n"

    def _called(self, words: Sequence[str], options: Mapping[str, list[str]], stdin: str) -> str:
        with self._lock:  # boto3 makes clients one at a time
            client = self._client(words[0])
        if words[1] == "wait":
            waiter = client.get_waiter(words[2].replace("-", "_"))
            operation = waiter.config.operation
            parameters = _parameters(client.meta.service_model.operation_model(operation).input_shape, options, stdin)
            waiter.wait(**parameters, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
            return ""
        method = words[1].replace("-", "_")
        operation = client.meta.method_to_api_mapping[method]
        parameters = _parameters(client.meta.service_model.operation_model(operation).input_shape, options, stdin)
        pages = client.get_paginator(method) if client.can_paginate(method) else None
        answer = pages.paginate(**parameters).build_full_result() if pages else getattr(client, method)(**parameters)
        answer.pop("ResponseMetadata", None)
        if not answer:
            return "" if "--query" not in options else "None\n"
        return _shown(answer, options)


def _options(arguments: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of each option, and the words before the first one (global options stand anywhere)."""
    options: dict[str, list[str]] = {}
    words: list[str] = []
    current, single = words, False
    for argument in arguments:
        if argument.startswith("--"):
            current = options.setdefault(argument, [])
            single = argument in _GLOBAL
            continue
        current.append(argument)
        if current is not words and single:
            current = words
    return options, words


def _parameters(shape: Any, options: Mapping[str, list[str]], stdin: str) -> dict[str, Any]:
    by_option = {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()}
    found: dict[str, Any] = {}
    for option, values in options.items():
        if option in _GLOBAL:
            continue
        negative = option.replace("--no-", "--", 1)
        if option not in by_option and negative not in by_option:
            raise ValueError(f"Unknown options: {option}")
        name, member = by_option.get(option) or by_option[negative]
        read = [_read(value, stdin) for value in values]
        found[name] = _value(member, read, option in by_option)
    return found


def _read(value: str, stdin: str) -> str:
    if value == "file:///dev/stdin":
        return stdin
    return Path(value.removeprefix("file://")).read_text() if value.startswith("file://") else value


def _value(shape: Any, values: list[str], positive: bool) -> Any:
    if shape.type_name == "boolean":
        return positive
    if shape.type_name == "list":
        if len(values) == 1 and values[0].lstrip().startswith("["):
            return json.loads(values[0])
        return [_value(shape.member, [value], positive) for value in values]
    [value] = values
    if shape.type_name in ("structure", "map"):
        return json.loads(value) if value.lstrip().startswith("{") else _shorthand(shape, value)
    return int(value) if shape.type_name in ("integer", "long") else value


def _shorthand(shape: Any, text: str) -> dict[str, Any]:
    """`Name=tag,Values=a,b`: words without an equals sign belong to the key before them."""
    found: dict[str, list[str]] = {}
    key = ""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name in getattr(shape, "members", {name: None}):
            key, part = name, value  # noqa: PLW2901 - the rest of it is the value
        found.setdefault(key, []).append(part)
    members = getattr(shape, "members", None)
    return {
        name: values if members and members[name].type_name == "list" else ",".join(values)
        for name, values in found.items()
    }


def _shown(answer: Any, options: Mapping[str, list[str]]) -> str:
    if "--query" in options:
        answer = jmespath.search(options["--query"][0], answer)
    if options["--output"] == ["json"]:
        return json.dumps(answer, indent=4, default=str) + "\n"
    return _text(answer)


def _text(answer: Any) -> str:
    """As `--output text`: scalars of a list on one line, between tabs."""
    if isinstance(answer, list):
        if any(isinstance(one, list | dict) for one in answer):
            return "".join(map(_text, answer))
        return "\t".join(map(str, answer)) + "\n" if answer else ""
    if isinstance(answer, dict):
        return "\t".join(str(answer[key]) for key in sorted(answer)) + "\n"
    return f"{answer}\n"
