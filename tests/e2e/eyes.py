"""Where an operator looks: the page, the terminal, the metrics. What all of them show, and how soon."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import requests

from tests.e2e.caller import Caller
from tests.e2e.environment import Measured
from tests.e2e.stopwatch import Stopwatch, ended, waited
from tests.waiting import until

TOKEN: Final = "correct horse"
SOON: Final = 10.0
"""Seconds from a trouble until all show it; JUDGED: where it hangs on the verdicts about nodes. See `Stopwatch`."""
JUDGED: Final = 60.0
_LOOK: Final = 0.1


@dataclass(frozen=True, slots=True)
class Eyes:
    """Where an operator looks."""

    caller: Caller
    workers: tuple[str, ...]
    token: str = TOKEN
    pids: tuple[int, ...] = ()
    """The processes that have a part in what is seen."""
    waits: list[float] = field(default_factory=list)
    """Seconds for which each command has waited for a processor."""
    notes: list[Measured] = field(default_factory=list)
    """Who takes down how soon a thing was seen."""

    def page(self, path: str = "/") -> str:
        """The text of a page."""
        text = re.sub(r"<(script|style)\b.*?</\1>", " ", self.caller.get(path).text, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())

    def terminal(self, *words: str) -> tuple[int, str]:
        """What a command of `scaler` shows, and its exit code."""
        environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "SCALER_URL": self.caller.url}
        command = [sys.executable, "-m", "cli", *(words or ("status",))]
        own = {**environ, "SCALER_TOKEN": self.token}
        with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, env=own, stdout=said, stderr=said) as run:
            ended(run.pid)
            self.waits.append(waited(run.pid))
            code = run.wait()
            said.seek(0)
            return code, said.read()

    def watch(self) -> Stopwatch:
        """From now on: of these processes, and of this one, where the emulated AWS and Swarm are."""
        return Stopwatch((os.getpid(), *self.pids))

    def seen(self, what: str, watch: Stopwatch) -> None:
        """Note how long it took."""
        for note in self.notes:
            note(f"seconds until seen: {what}", f"{watch.elapsed:.1f} ({watch.lost:.1f} without a processor)")

    def metrics(self) -> str:
        """Those of ingest and of all workers that answer."""
        found = [self.caller.get("/metrics").text]
        for url in self.workers:
            try:
                found.append(requests.get(f"{url}/metrics", timeout=3, proxies={"no_proxy": "*"}).text)
            except requests.RequestException:
                continue
        return "\n".join(found)

    def problem(self, code: str) -> str:
        """The sentence of what is wrong; empty where it is not."""
        found = self.caller.get("/v1/status").json().get("problems", [])
        return next((str(each["sentence"]) for each in found if each["code"] == code), "")


def shows(
    eyes: Eyes, wanted: Mapping[str, str], page: str = "/", within: float = SOON, watch: Stopwatch | None = None
) -> None:
    """All that is wanted, at the same time: `page`, `terminal` and `metrics`, each a pattern."""
    watch = watch or eyes.watch()

    def lacking() -> dict[str, str]:
        seen = {"page": eyes.page(page), "terminal": eyes.terminal()[1], "metrics": eyes.metrics()}
        watch.add(eyes.waits[-1])
        return {where: seen[where] for where, pattern in wanted.items() if not re.search(pattern, seen[where])}

    while left := lacking():
        if watch.elapsed > within:
            missing = {where: (wanted[where], text[-3000:]) for where, text in left.items()}
            raise AssertionError(f"not within {within:.0f} s, {watch.lost:.1f} s aside: {missing}")
    eyes.seen(next(iter(wanted.values()))[:30], watch)


def tells(eyes: Eyes, code: str, *words: str, within: float = SOON) -> None:
    """A problem, with these words in its sentence: the same sentence on the page and in the terminal, and its code."""

    watch = eyes.watch()
    while not all(word in (sentence := eyes.problem(code)) for word in ("", *words)) or not sentence:
        assert watch.elapsed < within, f"not within {within:.0f} s, {watch.lost:.1f} s aside: {code} with {words}"
        time.sleep(_LOOK)  # what it says before may be about something else
    opening = re.escape(sentence[:60])
    wanted = {
        "page": rf"{code} {opening}",
        "terminal": rf"problem\t{code}\t{opening}",
        "metrics": rf'scaler_problems\{{code="{code}"\}} 1\.0',
    }
    shows(eyes, wanted, within=within, watch=watch)


def over(eyes: Eyes, code: str) -> None:
    """A problem is told no more."""
    until(lambda: not eyes.problem(code), f"the end of {code}", JUDGED)
