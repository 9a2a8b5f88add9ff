"""The words of a PromQL expression, and those that not every Prometheus takes.

promql-parser reads more than Prometheus does: its successors' syntax, functions behind feature flags, numbers beyond
64 bits. Such a word would cost all rules of the file, so it costs this one here. Stable is what both 2.42 (Debian's)
and 3 take without a feature flag: https://prometheus.io/docs/prometheus/latest/querying/functions/
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rules.model import BadLabel
from rules.texts import duration

_UNITS: Final = r"(?:[0-9]+(?:ms|[smhdwy]))+"
_WORD: Final = re.compile(
    rf"""
      (?P<space>   \s+ | \#[^\n]*)
    | (?P<string>  "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
    | (?P<range>   \[ \s* {_UNITS} \s* (?: : \s* (?:{_UNITS})? \s* )? \])
    | (?P<duration>{_UNITS} (?!\w))
    | (?P<number>  0[xX][0-9a-fA-F]+ | (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>    [A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<mark>    =~ | !~ | == | != | >= | <= | .)
    """,
    re.VERBOSE | re.DOTALL,
)
_FUNCTIONS: Final = frozenset(
    {
        *("abs", "absent", "absent_over_time", "acos", "acosh", "asin", "asinh", "atan", "atanh"),
        *("avg_over_time", "ceil", "changes", "clamp", "clamp_max", "clamp_min", "cos", "cosh"),
        *("count_over_time", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "delta"),
        *("deriv", "exp", "floor", "histogram_quantile", "hour", "idelta", "increase", "irate", "label_join"),
        *("label_replace", "last_over_time", "ln", "log10", "log2", "max_over_time", "min_over_time"),
        *("minute", "month", "pi", "predict_linear", "present_over_time", "quantile_over_time", "rad", "rate"),
        *("resets", "round", "scalar", "sgn", "sin", "sinh", "sort", "sort_desc", "sqrt", "stddev_over_time"),
        *("stdvar_over_time", "sum_over_time", "tan", "tanh", "time", "timestamp", "vector", "year"),
    }
)
_AGGREGATIONS: Final = frozenset(
    {
        *("sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk"),
        "quantile",
    }
)
_LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_KEYWORDS: Final = frozenset({"and", "or", "unless", "atan2", "bool", "offset"}) | _LISTS
_MATCHES: Final = frozenset({"=", "!=", "=~", "!~"})


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its kind is a group of the pattern above."""

    kind: str
    text: str


def words(expression: str) -> list[Word]:
    """All words but white space and comments."""
    found = (Word(str(match.lastgroup), match[0]) for match in _WORD.finditer(expression))
    return [word for word in found if word.kind != "space"]


def patterns(found: Sequence[Word]) -> list[str]:
    """The regular expressions of matchers, as they are quoted."""
    return [word.text for before, word in pairwise(found) if before.text in {"=~", "!~"} and word.kind == "string"]


def refusal(found: Sequence[Word]) -> str:
    """Why not every Prometheus takes an expression that promql-parser takes, by its words; empty where it does."""
    reasons = (*_out_of_place(found), *_in_braces(found), *_in_lists(found))
    return reasons[0] if reasons else ""


def _out_of_place(found: Sequence[Word]) -> Iterator[str]:
    """Words that are wrong for what stands before or behind them."""
    start = Word("mark", "")
    for before, word, behind in zip([start, *found], found, [*found[1:], start], strict=False):
        after_offset = before.text.lower() == "offset" or (before.text == "-" and _after_offset(found, before))
        match word.kind:
            case "mark" if word.text == "[":
                yield "a range of time is written like [5m] or [5m:1m]"
            case "range":
                yield from _too_long(re.findall(_UNITS, word.text))
            case "duration":
                yield from _too_long([word.text])
                if not after_offset:
                    yield f"{word.text} stands where a number belongs"
            case "number":
                if after_offset:
                    yield f"offset {word.text} has no unit, like 5m"
                if not math.isfinite(_value(word.text)):
                    yield f"the number {word.text} is too large"
            case "name" if behind.text == "(":
                yield from _unknown_function(word.text)


def _after_offset(found: Sequence[Word], minus: Word) -> bool:
    place = next(place for place, word in enumerate(found) if word is minus)
    return place > 0 and found[place - 1].text.lower() == "offset"


def _unknown_function(name: str) -> Iterator[str]:
    if name not in _FUNCTIONS and name.lower() not in _AGGREGATIONS | _KEYWORDS:
        yield f"the function {name} is not in every Prometheus"


def _in_braces(found: Sequence[Word]) -> Iterator[str]:
    """`{"name"}` is Prometheus 3's, `or` between matchers somebody else's."""
    inside, before = False, ""
    for word in found:
        if inside and word.kind == "string" and before not in _MATCHES:
            yield f"the quoted name {word.text} is not in every Prometheus"
        if inside and word.kind == "name" and word.text.lower() == "or" and before not in {"{", ","}:
            yield "or between matchers is not PromQL"
        inside = word.text == "{" or (inside and word.text != "}")
        before = word.text


def _in_lists(found: Sequence[Word]) -> Iterator[str]:
    """Labels in by (...) and the like are bare names."""
    inside, before = False, ""
    for word in found:
        if inside and word.kind == "string":
            yield f"the quoted name {word.text} is not in every Prometheus"
        inside = (word.text == "(" and before in _LISTS) or (inside and word.text != ")")
        before = word.text.lower()


def _too_long(durations: Sequence[str]) -> Iterator[str]:
    for each in durations:
        try:
            duration(each, "a duration")
        except BadLabel as error:
            yield str(error)


def _value(number: str) -> float:
    try:
        return float(int(number, 16)) if number[:2].lower() == "0x" else float(number)
    except OverflowError:
        return math.inf
