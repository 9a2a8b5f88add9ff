"""`python -m cli`, `scaler`: loads the program, and runs it."""

import sys


def main() -> int:
    """Run it. Returns the exit code."""
    try:
        from cli import program  # noqa: PLC0415 - loading takes a moment, and Ctrl-C may come in it

        return program.main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
