"""A core that shares its store with others, and what its turns say of new tasks."""

from __future__ import annotations

from itertools import count
from typing import Any

from taskrun.domain.batch import Answer, ClaimRuns, FindKey, RunsClaimed, TurnedAway
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import ConnectWorker, CreateTask, Input
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.now import Now
from taskrun.domain.protocol import Hello
from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import AgentSpec, Task, TaskSpec, WorkerInfo
from taskrun.domain.timers import ControlPlaneTimers


class Plane:
    """A core that shares its store, and its clock. The store's answers are made up."""

    def __init__(self, *limits: Limit, shared: bool = True) -> None:
        numbers, self._replies = count(1), count(1)
        self.core = ControlPlaneCore(
            ControlPlaneTimers(), lambda: f"id-{next(numbers)}", shared=shared, policy=Policy(limits)
        )
        self.mono = 0.0

    def turn(self, *inputs: Input | Answer) -> Turn:
        return self.core.handle(inputs, Now(self.mono, int(self.mono * 1000)))

    def request(self, by: str = "client:ann", agent: str = "echo", **spec: Any) -> CreateTask:
        return CreateTask(next(self._replies), TaskSpec(agent, "1", **spec), by)

    def near(self, account: AccountName, figure: int) -> Plane:
        """Itself, once the store has said that this account has just had its last new task of a minute."""
        self.turn(TurnedAway((), account, figure))
        return self

    def connect(self, session: int, slots: int) -> None:
        info = WorkerInfo(agents=(AgentSpec("echo"),))
        self.turn(ConnectWorker(-session, session, f"w{session}", Hello(info, max_concurrent_runs=slots)))
        self.turn(RunsClaimed(ClaimRuns(session, f"w{session}"), ()))


def made(turn: Turn) -> list[Task]:
    return [answer for _, answer in turn.replies if isinstance(answer, Task)]


def refused(turn: Turn) -> list[str]:
    return [answer.message for _, answer in turn.replies if isinstance(answer, ResourceExhausted)]


def find(turn: Turn) -> FindKey:
    [ask] = turn.batch.asks
    assert isinstance(ask, FindKey)
    return ask
