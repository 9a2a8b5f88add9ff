"""One line of a check: that something is as it must be, or what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` begins with what was looked at; where that is not `good`, it says what is wrong, and what to do."""

    good: bool
    text: str

    def __str__(self) -> str:
        return f"ok    {self.text}" if self.good else f"wrong {self.text}"


def ok(text: str) -> Finding:
    """As it must be."""
    return Finding(good=True, text=text)


def wrong(text: str) -> Finding:
    """Something is to be done."""
    return Finding(good=False, text=text)


def judged(what: str, problems: list[str], good: str) -> list[Finding]:
    """The problems, a line each; `good` where there is none."""
    return [wrong(f"{what}: {problem}") for problem in problems] or [ok(f"{what}: {good}")]
