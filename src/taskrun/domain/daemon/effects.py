"""What the daemon's core orders. Each order but the last two is answered by exactly one piece of news."""

from __future__ import annotations

from taskrun.domain.daemon.lane import Lane
from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import AssignRun, LiveRun
from taskrun.domain.records import Usage
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class Dial:
    """Open a link, with these runs in its hello. Answered by `LinkOpened` or `LinkLost`."""

    live_runs: tuple[LiveRun, ...] = ()
    #: Which of the control planes: its number in their list.
    place: int = 0


@value(frozen=True, slots=True)
class StartAgent:
    """Start the agent of this run, for its first turn or the next; what it says goes into the lane. Answered by
    `AgentEnded`."""

    run: AssignRun
    lane: Lane
    #: What the turns before have consumed.
    consumed: Usage | None = None


@value(frozen=True, slots=True)
class StopAgent:
    """Cancel the agent of this run. It is still answered by the one `AgentEnded`."""

    run_id: str


@value(frozen=True, slots=True)
class HangUp:
    """Let go of the link, which is of no more use."""

    error: TaskRunError
    #: Nothing is wrong: another takes its place.
    planned: bool = False


@value(frozen=True, slots=True)
class Finish:
    """The daemon is done; `error` says why if that was not its wish."""

    error: TaskRunError | None = None


Effect = Dial | StartAgent | StopAgent | HangUp | Finish
