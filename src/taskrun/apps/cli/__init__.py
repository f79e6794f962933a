"""`taskrun`, the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """The program `taskrun`."""
    from taskrun.apps.cli.root import CODES, cli
    from taskrun.apps.exits import run

    sys.exit(run(cli, "taskrun", CODES))
