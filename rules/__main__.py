"""`python -m rules`: hears signals from the first moment on, loads the process, and runs it."""

import sys

from shared.early import ends_at_once


def main() -> int:
    """Run it. Returns the exit code."""
    ends_at_once()
    from rules import process  # noqa: PLC0415 - loading takes half a second, and comes after the signals

    return process.main()


if __name__ == "__main__":
    sys.exit(main())
