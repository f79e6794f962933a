"""Where the installed programs begin. What takes long to load is loaded when Ctrl-C can do no harm any more."""

from __future__ import annotations

from taskrun.apps.process import end_at_ctrl_c


def control_plane() -> None:
    """The program `taskrun-control-plane`."""
    end_at_ctrl_c()
    from taskrun.apps.control_plane import main

    main()


def worker() -> None:
    """The program `taskrun-worker`."""
    end_at_ctrl_c()
    from taskrun.apps.worker import main

    main()
