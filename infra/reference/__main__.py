"""`make docs` writes the pages; `--check` fails where one is not what the code says."""

import sys

from infra.reference.page import ARCHITECTURE, PAGE, filled


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a page is out of date and only a check was asked for."""
    outdated = [page for page in (PAGE, ARCHITECTURE) if filled(page.read_text()) != page.read_text()]
    if arguments == ["--check"]:
        for page in outdated:
            sys.stderr.write(f"docs/{page.name} is not what the code says: run `make docs`\n")
        return int(bool(outdated))
    for page in outdated:
        page.write_text(filled(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
