"""`taskrun`, the command line."""

from __future__ import annotations

import sys

from taskrun.apps.process import begin


def main() -> None:
    """The program `taskrun`."""
    begin()
    from taskrun.apps.cli.root import CODES, cli
    from taskrun.apps.exits import run

    sys.exit(run(cli, "taskrun", CODES))
