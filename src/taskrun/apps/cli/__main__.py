"""`python -m taskrun.apps.cli`: the command line, where no script is installed."""

from __future__ import annotations

from taskrun.apps.cli import main

main()
