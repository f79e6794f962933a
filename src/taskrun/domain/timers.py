"""How long things may take. All in seconds; tests scale them."""

from __future__ import annotations

from taskrun.domain.values import value

#: As long as a worker may be told to leave a stopped run's processes (`DaemonTimers.stop_grace`), and as long as a
#: control plane believes one that says that it is stopping a run.
MAX_STOP_GRACE = 300.0


@value(frozen=True, slots=True)
class ControlPlaneTimers:
    """The control plane's patience."""

    #: A worker that says nothing for this long is cut off (three missed heartbeats).
    silence: float = 45.0
    #: A worker whose runs outlive its stream is lost when it was away for this long; its runs go to others. It has to
    #: be longer than a worker takes to stop them itself (`DaemonTimers.resume`, a heartbeat and `stop_grace`), or runs
    #: are executed twice.
    grace: float = 120.0
    #: An assigned run that its worker does not start within this is taken back.
    start: float = 30.0
    #: A run that was told to stop is ended without its worker's report when nothing was heard of it for this long: from
    #: when the worker was told, or from when the run's agent should have been gone as the worker says.
    stop: float = 15.0
    #: A message for a run that goes on is confirmed by its worker within this, or its sender hears that it was not.
    follow_up: float = 10.0
    #: The first retry of a task comes at once, the second after this, each further one after twice as long as the last,
    #: up to `retry_max`; a random part of up to a half is left out. 0: always at once.
    retry: float = 1.0
    retry_max: float = 60.0
    #: A task whose workers are lost twice, each this soon after it was given to them, is poison. 0: none is.
    poison: float = 60.0


@value(frozen=True, slots=True)
class DaemonTimers:
    """The worker's patience."""

    heartbeat: float = 15.0
    #: The first reconnect comes after a random 0 to this, then the bound doubles up to `reconnect_max`.
    reconnect: float = 5.0
    reconnect_max: float = 30.0
    #: A worker that found no control plane for this long, from its last heartbeat that must have been heard, stops its
    #: runs: they are about to be given to others.
    resume: float = 90.0
    #: A drain that lasts longer cancels the runs that are left.
    drain: float = 300.0
    #: A stopped run's processes get SIGKILL this long after SIGTERM. At most `MAX_STOP_GRACE`.
    stop_grace: float = 10.0

    @property
    def gone(self) -> float:
        """How long after a worker was last heard of its runs' processes are gone at the latest, if it finds no control
        plane: it may have been heard with the heartbeat before the last it knows of."""
        return self.resume + self.heartbeat + self.stop_grace
