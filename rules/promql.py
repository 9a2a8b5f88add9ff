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
from rules.promql_words import refusal

_LONGEST: Final = 10_000
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
    try:
        tree = promql_parser.parse(expression)
    except ValueError as error:
        return f"not PromQL ({error})"
    if isinstance(tree, (promql_parser.StringLiteral, promql_parser.MatrixSelector, promql_parser.SubqueryExpr)):
        return "neither a text nor a range of samples can fire"
    return refusal(expression) or _bad_pattern(tree)


def _bad_pattern(tree: promql_parser.Expr) -> str:
    reasons: list[str] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            reasons.extend(filter(None, map(_bad_matcher, node.matchers.matchers)))
        return not reasons

    promql_parser.walk(tree, visit)
    return reasons[0] if reasons else ""


def _bad_matcher(matcher: Any) -> str:
    if matcher.op != promql_parser.MatchOp.Re and matcher.op != promql_parser.MatchOp.NotRe:  # they have no hash
        return ""
    try:
        re2.compile(matcher.value, _OPTIONS)
    except re2.error as error:
        words = error.args[0]
        return f"no regular expression ({words.decode() if isinstance(words, bytes) else words})"
    return f"no regular expression of Go's: {matcher.value!r}" if _NOT_GO.search(matcher.value) else ""
