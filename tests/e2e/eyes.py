"""Where an operator looks: the page, the terminal, the metrics. What all of them show, and how soon."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import requests

from tests.e2e.environment import Caller, until

TOKEN: Final = "correct horse"
BUSY: Final = 2.5
"""By what a machine that does other things besides may miss a bound: each look at a terminal starts a process."""
SOON: Final = 10.0 * BUSY
JUDGED: Final = 60.0


@dataclass(frozen=True, slots=True)
class Eyes:
    """Where an operator looks."""

    caller: Caller
    workers: tuple[str, ...]
    token: str = TOKEN

    def page(self, path: str = "/") -> str:
        """The text of a page."""
        text = re.sub(r"<(script|style)\b.*?</\1>", " ", self.caller.get(path).text, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())

    def terminal(self, *words: str) -> tuple[int, str]:
        """What a command of `scaler` shows, and its exit code."""
        environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "SCALER_URL": self.caller.url}
        command = [sys.executable, "-m", "cli", *(words or ("status",))]
        own = {**environ, "SCALER_TOKEN": self.token}
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

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


def shows(eyes: Eyes, wanted: Mapping[str, str], page: str = "/", within: float = SOON) -> None:
    """All that is wanted, at the same time: `page`, `terminal` and `metrics`, each a pattern."""

    def lacking() -> dict[str, str]:
        seen = {"page": eyes.page(page), "terminal": eyes.terminal()[1], "metrics": eyes.metrics()}
        return {where: seen[where] for where, pattern in wanted.items() if not re.search(pattern, seen[where])}

    deadline = time.monotonic() + within
    while left := lacking():
        if time.monotonic() > deadline:
            missing = {where: (wanted[where], text[-3000:]) for where, text in left.items()}
            raise AssertionError(f"not within {within:.0f} s: {missing}")


def tells(eyes: Eyes, code: str, *words: str, within: float = SOON) -> None:
    """A problem, with these words in its sentence: the same sentence on the page and in the terminal, and its code."""

    def told() -> str | None:
        said = eyes.problem(code)  # it may be about something else before
        return said if said and all(word in said for word in words) else None

    sentence = until(told, f"the problem {code} with {words}", within)
    opening = re.escape(sentence[:60])
    wanted = {
        "page": rf"{code} {opening}",
        "terminal": rf"problem\t{code}\t{opening}",
        "metrics": rf'scaler_problems\{{code="{code}"\}} 1\.0',
    }
    shows(eyes, wanted, within=within)


def over(eyes: Eyes, code: str) -> None:
    """A problem is told no more."""
    until(lambda: not eyes.problem(code), f"the end of {code}", JUDGED)
