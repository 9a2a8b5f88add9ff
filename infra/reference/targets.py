"""The make targets, from the Makefile's own descriptions."""

import re
from pathlib import Path

from infra.reference.markdown import code, table

_MAKEFILE = Path(__file__).parents[2] / "Makefile"
_TARGETS = re.compile(r"^(?P<names>[a-z -]+):.*?## (?P<text>.+)$", re.MULTILINE)


def table_of(makefile: str) -> str:
    """The targets that a makefile describes."""
    rows = [
        (", ".join(code(f"make {name}") for name in match["names"].split()), f"{match['text']}.")
        for match in _TARGETS.finditer(makefile)
    ]
    return table(("target", "does"), rows)


def targets() -> str:
    """Those of this project."""
    return table_of(_MAKEFILE.read_text())
