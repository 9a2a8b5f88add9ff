"""`scaler completion`: a script for the shell, made from the parser."""

from argparse import Namespace

import shtab

from cli import parser
from cli.complaints import Exit
from cli.context import Context


def completion(context: Context, arguments: Namespace) -> Exit:
    """Print it."""
    context.output.raw(shtab.complete(parser.build(), arguments.shell))
    return Exit.DONE
