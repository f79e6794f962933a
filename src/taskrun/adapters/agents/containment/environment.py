"""What a run sees of its worker's environment: what is on a list, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from taskrun.adapters.agents.containment.directory import RunDirectory

#: Passed to every program: where things are, and how people here write.
ALWAYS = ("PATH", "LANG", "LANGUAGE", "LC_*", "TZ")

#: For those that call a model: how the network is to be used, and whom to trust in it.
NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)

#: The worker's own settings; some of them are secrets. No list lets them pass.
OURS = "TASKRUN_"


def passed(environ: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    """The part of `environ` that `allowed` names; a name may hold `*`."""
    patterns = (*ALWAYS, *allowed)
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(OURS) and any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def of_run(run_id: str, task_id: str, directory: RunDirectory) -> dict[str, str]:
    """What is different for every run. A home or temporary directory that was let pass goes before these."""
    return {
        "HOME": str(directory.home),
        "TMPDIR": str(directory.temporary),
        "TASKRUN_RUN_ID": run_id,
        "TASKRUN_TASK_ID": task_id,
    }
