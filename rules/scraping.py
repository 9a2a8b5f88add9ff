"""The labels that have Prometheus scrape a service. It reads them itself; here is only said what it would not take.

Prometheus drops a target whose port, interval or time-out is wrong, without a word to whoever set the label.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rules.labels import PREFIX
from rules.model import BadLabel
from rules.texts import duration, milliseconds

DEFAULT_INTERVAL: Final = "10s"
"""Of stacks/prometheus/prometheus.yml; a test compares."""
_DEFAULT_TIMEOUT: Final = "10s"
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_PATH: Final = re.compile(r"/[^\s?#]*")
_HIGHEST_PORT: Final = 65535


def problems(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong: the label without `com.df.`, and the reason."""
    given = {name: labels[PREFIX + name] for name in _CHECKS if PREFIX + name in labels}
    wrong = False
    for name, value in given.items():
        try:
            _CHECKS[name](value, name)
        except BadLabel as error:
            wrong = True
            yield name, str(error)
    if given and "scrapePort" not in given:
        yield next(iter(given)), f"without {PREFIX}scrapePort nothing is scraped"
    elif not wrong:
        yield from _too_long(given)


def _too_long(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    interval = given.get("scrapeInterval", DEFAULT_INTERVAL)
    timeout = given.get("scrapeTimeout", _DEFAULT_TIMEOUT)
    if milliseconds(timeout) > milliseconds(interval):
        given_name = "scrapeTimeout" if "scrapeTimeout" in given else "scrapeInterval"
        yield given_name, f"the time-out, {timeout}, is longer than the interval, {interval}: set both"


def _port(text: str, what: str) -> None:
    if not _PORT.fullmatch(text) or int(text) > _HIGHEST_PORT:
        raise BadLabel(f"{what}: {text!r} is no port; write a number from 1 to {_HIGHEST_PORT}")


def _path(text: str, what: str) -> None:
    if not _PATH.fullmatch(text):
        raise BadLabel(f"{what}: {text!r} is no path; write one like /metrics")


def _some_time(text: str, what: str) -> None:
    if duration(text, what) != text or milliseconds(text) == 0:
        raise BadLabel(f"{what}: {text!r} is no duration above 0 without spaces; write 30s or 1m")


def _network(text: str, what: str) -> None:
    if not text.strip():
        raise BadLabel(f"{what}: empty; write the network's whole name, as `docker network ls` shows it")


_CHECKS: Final[Mapping[str, Callable[[str, str], None]]] = {
    "scrapePort": _port,
    "metricsPath": _path,
    "scrapeInterval": _some_time,
    "scrapeTimeout": _some_time,
    "scrapeNetwork": _network,
}
