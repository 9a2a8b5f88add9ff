"""Whether Prometheus would take an expression: one that it does not take would cost all rules of the file.

Syntax, types and arguments are judged by promql-parser, in process: `promtool` would be another 100 MB in the image and
a process for each look. It is more lenient than Prometheus in its words (`promql_words`) and in regular expressions,
which are RE2's and are compiled with RE2 here. A test compares both with `promtool`.
"""

import re
from functools import lru_cache
from typing import Any, Final

import promql_parser
import re2

from rules.model import BadLabel
from rules.promql_words import patterns, refusal, words

_LONGEST: Final = 10_000
_MOST_WORDS: Final = 500
"""promql-parser goes as deep as an expression does, and ends the process where the stack ends: at some thousands."""
_PANIC: Final = "PanicException"
"""How a bug of a library in Rust looks from Python: not even an Exception, and it may be imported from nowhere."""
_SHOWN: Final = 200
# What C++'s RE2 takes and Go's does not: a single byte; group names without P before Go 1.22.
_NOT_GO: Final = re.compile(r"(?<!\\)(?:\\\\)*(?:\\C|\(\?<)")
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


def checked(expression: str, what: str) -> str:
    """The expression, if Prometheus takes it and it can fire. Raises BadLabel."""
    reason = f"longer than {_LONGEST} characters" if len(expression) > _LONGEST else _refusal(expression)
    if reason:
        raise BadLabel(f"{what}: {reason}, in {expression[:_SHOWN]!r}")
    return expression


@lru_cache(maxsize=4096)
def _refusal(expression: str) -> str:
    """Why not; empty where it is fine. Labels seldom change: what was judged is remembered."""
    found = words(expression)
    if len(found) > _MOST_WORDS:
        return f"more than {_MOST_WORDS} words"
    reason = refusal(found)
    if reason:
        return reason
    try:
        tree = promql_parser.parse(expression)
    except ValueError as error:
        return f"not PromQL ({error})"
    except BaseException as error:
        if type(error).__name__ == _PANIC:
            return "not PromQL (its parser gave up)"
        raise
    if isinstance(tree, (promql_parser.StringLiteral, promql_parser.MatrixSelector, promql_parser.SubqueryExpr)):
        return "neither a text nor a range of samples can fire"
    return next(filter(None, map(_bad_pattern, patterns(found))), "")


def _bad_pattern(quoted: str) -> str:
    """What is wrong with a regular expression; empty where it is fine."""
    selector: Any = promql_parser.parse(f"x{{a={quoted}}}")  # who reads the quotes
    pattern = selector.matchers.matchers[0].value
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        said = error.args[0]
        return f"no regular expression ({said.decode() if isinstance(said, bytes) else said})"
    return f"no regular expression of Go's: {pattern!r}" if _NOT_GO.search(pattern) else ""
