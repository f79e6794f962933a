"""By what means a run is contained on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

#: What starts the supervisor: an interpreter without site packages, environment variables or anything of ours.
SUPERVISOR = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")))

#: The strongest means first; see `supervisor`.
NAMESPACE, TREE = "namespace", "tree"

#: What cannot be had by these means, for whoever starts a worker; "" = nothing is amiss.
LACKING: Mapping[str, str] = {
    NAMESPACE: "",
    TREE: (
        "runs get no PID namespaces here, for that takes root or a user who may make user namespaces: they see other "
        "processes and may signal this user's, and if the worker and a run's supervisor are killed together, also by "
        "an agent, the run's program dies but its children may be left"
    ),
}

_PROBE_SECONDS = 10


@cache
def containment() -> str:
    """`namespace` where the kernel itself ends all of a run's processes, otherwise `tree`. Found out once, in 30 ms."""
    try:
        probe = subprocess.run([*SUPERVISOR, "probe"], timeout=_PROBE_SECONDS, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return TREE
    return TREE if probe.returncode else NAMESPACE
