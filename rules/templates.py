"""Whether Prometheus would take a template in a label or annotation: like an expression, a bad one costs all rules.

Prometheus parses each value as Go's text/template. Taken here is what people write in alerts: `$value`, `$labels.x`,
literals, pipelines, Prometheus's functions, `if`, `with`, `range`; everything else is refused with a reason, also where
Go would take it. https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

import re
from collections.abc import Sequence
from typing import Final

from rules.model import BadLabel

_GIVEN: Final = frozenset({"$", "$labels", "$value", "$externalLabels", "$externalURL"})
_FUNCTIONS: Final = frozenset(
    {
        *("and", "args", "call", "eq", "externalURL", "first", "ge", "graphLink", "gt", "html", "humanize"),
        *("humanize1024", "humanizeDuration", "humanizePercentage", "humanizeTimestamp", "index", "js"),
        *("label", "le", "len", "lt", "match", "ne", "not", "or", "parseDuration", "pathPrefix", "print"),
        *("printf", "println", "query", "reReplaceAll", "safeHtml", "slice", "sortByLabel", "stripDomain"),
        *("stripPort", "strvalue", "tableLink", "title", "toLower", "toUpper", "urlquery", "value"),
    }
)
_ACTION: Final = re.compile(r"\{\{(?:- |-(?=\n))?(.*?)(?: -)?\}\}", re.DOTALL)
_COMMENT: Final = re.compile(r"/\*.*\*/", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""
      (?P<space>    [ \t\r\n]+)
    | (?P<text>     "(?:[^"\\\n]|\\["\\nt])*" | `[^`]*`)
    | (?P<number>   [+-]?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})? (?![\w.]))
    | (?P<variable> \$[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)* | \$(?:\.[A-Za-z_]\w*)* (?!\w))
    | (?P<field>    (?:\.[A-Za-z_]\w*)+ | \.(?!\w))
    | (?P<word>     [A-Za-z_]\w*)
    | (?P<declare>  :=)
    | (?P<mark>     [(),|])
    """,
    re.VERBOSE | re.ASCII,
)
_EXECUTABLE: Final = frozenset({"word", "variable", "field", "("})
_MOST_TOKENS: Final = 200
"""Brackets are read by calls in calls."""
Token = tuple[str, str]


def checked(text: str, what: str) -> str:
    """The text, if Prometheus takes it as a template. Raises BadLabel."""
    if "{{" in text:
        try:
            _Template().read(text)
        except ValueError as error:
            raise BadLabel(f"{what}: the template is not understood ({error}), in {text!r}") from error
    return text


def literal(text: str) -> str:
    """A text that says itself when Prometheus takes it as a template."""
    return text.replace("{{", '{{ "{{" }}')


class _Template:
    """One template as it is read: which blocks are open, and the variables of each."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._scopes: list[set[str]] = [set(_GIVEN)]

    def read(self, text: str) -> None:
        """Raises ValueError."""
        rest = 0
        for match in _ACTION.finditer(text):
            self._plain(text[rest : match.start()])
            rest = match.end()
            if not _COMMENT.fullmatch(match[1]):
                self._action(_tokens(match[1]))
        self._plain(text[rest:])
        if self._blocks:
            raise ValueError(f"{self._blocks[-1]} has no end")

    @staticmethod
    def _plain(text: str) -> None:
        if "{{" in text:
            raise ValueError("{{ has no }}")

    def _action(self, tokens: Sequence[Token]) -> None:
        if not tokens:
            raise ValueError("{{ }} is empty")
        word = tokens[0][1] if tokens[0][0] == "word" else ""
        match word:
            case "if" | "with" | "range":
                self._open(word, tokens[1:])
            case "else":
                self._else(tokens[1:])
            case "end":
                self._end(tokens[1:])
            case _:
                self._declared(tokens, of=1)

    def _open(self, word: str, tokens: Sequence[Token]) -> None:
        self._blocks.append(word)
        self._scopes.append(set())
        self._declared(tokens, of=2 if word == "range" else 1)

    def _else(self, tokens: Sequence[Token]) -> None:
        if not self._blocks or self._blocks[-1].endswith("else"):
            raise ValueError("else without if")
        if not tokens:
            self._blocks[-1] += " else"
        elif tokens[0] == ("word", "if") and self._blocks[-1] == "if":
            self._declared(tokens[1:], of=1)
        else:
            raise ValueError("else takes nothing but if")

    def _end(self, tokens: Sequence[Token]) -> None:
        if tokens or not self._blocks:
            raise ValueError("end without if, with or range")
        self._blocks.pop()
        self._scopes.pop()

    def _declared(self, tokens: Sequence[Token], of: int) -> None:
        """A pipeline, perhaps with variables in front: `$x := ...`, in a range `$i, $x := ...`."""
        names: list[str] = []
        if ("declare", ":=") in tokens:
            place = list(tokens).index(("declare", ":="))
            kinds = [kind for kind, _ in tokens[:place]]
            names = [text for kind, text in tokens[:place] if kind == "variable"]
            if kinds not in (["variable"], ["variable", "mark", "variable"][: of * 2 - 1]):
                raise ValueError("only a variable stands before :=")
            if any("." in name for name in names) or (len(kinds) > 1 and tokens[1][1] != ","):
                raise ValueError("only a variable stands before :=")
            tokens = tokens[place + 1 :]
        self._pipeline(tokens)
        self._scopes[-1].update(names)

    def _pipeline(self, tokens: Sequence[Token]) -> None:
        for number, command in enumerate(_split(tokens)):
            if not command:
                raise ValueError("something is missing in a pipeline")
            if number and command[0][0] not in _EXECUTABLE and command[0][1] != "(":
                raise ValueError(f"{command[0][1]} cannot take what comes through the pipe")
            self._command(command)

    def _command(self, command: Sequence[Token]) -> None:
        """A function or value and its arguments."""
        depth = 0
        inner: list[Token] = []
        for kind, text in command:
            if text == "(" and kind == "mark":
                depth += 1
                if depth == 1:
                    inner = []
                    continue
            elif text == ")" and kind == "mark":
                depth -= 1
                if depth == 0:
                    self._pipeline(inner)
                    continue
            if depth < 0:
                raise ValueError(") without (")
            if depth:
                inner.append((kind, text))
            else:
                self._operand(kind, text)
        if depth:
            raise ValueError("( without )")
        if command[0][0] in {"text", "number"} and len(command) > 1:
            raise ValueError(f"{command[0][1]} is no function")

    def _operand(self, kind: str, text: str) -> None:
        variable = text.partition(".")[0]
        if kind == "variable" and not any(variable in scope for scope in self._scopes):
            raise ValueError(f"{variable} is not known")
        if kind == "word" and text not in _FUNCTIONS | {"true", "false"}:
            raise ValueError(f"{text} is no function")
        if kind in {"mark", "declare"}:
            raise ValueError(f"{text} is out of place")


def _tokens(action: str) -> list[Token]:
    """The tokens of an action. Values stand apart from each other."""
    found: list[Token] = []
    place, apart = 0, True
    while place < len(action):
        match = _TOKEN.match(action, place)
        if match is None:
            raise ValueError(f"{action[place : place + 20]!r}")
        kind, text = str(match.lastgroup), match[0]
        if kind in {"space", "declare"} or (kind == "mark" and text != "("):
            apart = text != ")"
        elif not apart and not (kind == "field" and found[-1][1] == ")"):  # a field of what is in brackets
            raise ValueError(f"a space is missing before {text!r}")
        else:
            apart = text == "("
        if kind != "space":
            found.append((kind, text))
        if len(found) > _MOST_TOKENS:
            raise ValueError(f"more than {_MOST_TOKENS} words in one action")
        place = match.end()
    return found


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """The commands of a pipeline: what stands between bars that are in no brackets."""
    commands: list[list[Token]] = [[]]
    depth = 0
    for kind, text in tokens:
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "mark" else 0
        if (kind, text) == ("mark", "|") and depth == 0:
            commands.append([])
        else:
            commands[-1].append((kind, text))
    return commands
