"""`make docs` writes the page; `--check` fails where it is not what the code says."""

import sys

from infra.reference.page import PAGE, filled


def main(arguments: list[str]) -> int:
    """The exit code: 1 where the page is out of date and only a check was asked for."""
    old = PAGE.read_text()
    new = filled(old)
    if arguments == ["--check"]:
        if new != old:
            sys.stderr.write("docs/reference.md is not what the code says: run `make docs`\n")
        return int(new != old)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
