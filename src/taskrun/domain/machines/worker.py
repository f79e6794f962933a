"""The life of a worker, as the control plane sees it.

Connected it is IDLE or BUSY by the runs that the control plane has given it, unless it says of itself that it is
DRAINING or in ERROR. A broken stream makes it DISCONNECTED for a grace, in which it may come back with its runs; after
that it is LOST, and LOST is for ever: a worker that comes back later begins anew.
"""

from __future__ import annotations

from taskrun.domain.machines.machine import Machine
from taskrun.domain.status import Word, WorkerStatus


class WorkerEvent(Word):
    """What can happen to a worker."""

    TOOK_RUN = "took a run"
    BECAME_FREE = "became free"
    REPORTED_FREE = "reported that it is well, and has no run"
    REPORTED_WORKING = "reported that it is well, and has runs"
    REPORTED_DRAINING = "reported that it drains"
    REPORTED_ERROR = "reported an error"
    STREAM_BROKE = "stream broke"
    CAME_BACK_FREE = "came back without a run"
    CAME_BACK_WORKING = "came back with runs"
    GRACE_OVER = "grace over"


_S, _E = WorkerStatus, WorkerEvent
_REPORTS = {
    _E.REPORTED_FREE: _S.IDLE,
    _E.REPORTED_WORKING: _S.BUSY,
    _E.REPORTED_DRAINING: _S.DRAINING,
    _E.REPORTED_ERROR: _S.ERROR,
    _E.STREAM_BROKE: _S.DISCONNECTED,
}
_CONNECTED = (_S.IDLE, _S.BUSY, _S.DRAINING, _S.ERROR)

WORKER: Machine[WorkerStatus, WorkerEvent] = Machine(
    "worker",
    {(state, report): status for state in _CONNECTED for report, status in _REPORTS.items()}
    | {
        (_S.IDLE, _E.TOOK_RUN): _S.BUSY,
        (_S.BUSY, _E.TOOK_RUN): _S.BUSY,
        (_S.BUSY, _E.BECAME_FREE): _S.IDLE,
        # What it said of itself stays true while its last runs end.
        (_S.DRAINING, _E.BECAME_FREE): _S.DRAINING,
        (_S.ERROR, _E.BECAME_FREE): _S.ERROR,
        (_S.DISCONNECTED, _E.CAME_BACK_FREE): _S.IDLE,
        (_S.DISCONNECTED, _E.CAME_BACK_WORKING): _S.BUSY,
        (_S.DISCONNECTED, _E.GRACE_OVER): _S.LOST,
    },
)
