"""How a kind of agent comes before its contract, and what all parts of the contract work with."""

from __future__ import annotations

import json
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from taskrun.ports.agents import Agent, AgentRequest, AgentResult, AgentSink
from taskrun.testing.contracts.agent_acts import SECRET, Act
from taskrun.testing.lonely_worker import agent_of
from taskrun.testing.processes import kill_all_of
from taskrun.testing.recording_sink import RecordingSink

#: The name under which a test tells what it has tried: (which agent, which act, why it cannot).
TRIED = "agent act"


def because(reason: str, *acts: Act) -> dict[Act, str]:
    """A part of `AgentStage.CANNOT`: acts that cannot be played for one reason."""
    return dict.fromkeys(acts, reason)


class AgentStage(ABC):
    """Has agents of one kind play the acts. Subclass it, and give one to the contract as its fixture `stage`."""

    #: As in worker.toml.
    KIND: ClassVar[str]
    #: Which agent of this kind it is, if several sign; in the matrix it has its own column.
    AGENT: ClassVar[str] = ""
    #: What this kind cannot, each with the reason for whoever reads the matrix.
    CANNOT: ClassVar[Mapping[Act, str]] = {}
    #: Seconds between SIGTERM and SIGKILL; what a kind does to end well takes less.
    STOP_GRACE: ClassVar[float] = 1.0

    def __init__(self, place: Path) -> None:
        #: An empty directory, for whatever an act needs.
        self.place = place
        #: Where the runs have theirs.
        self.work_dir = place / "runs"

    @abstractmethod
    def keys(self, act: Act) -> Mapping[str, Any]:
        """What the `[[agents]]` table of an agent that plays this has beside `name` and `kind`, as it is in TOML."""

    def environ(self) -> Mapping[str, str]:
        """The worker's environment, with what no agent may see in it."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": "/root-of-the-worker",
            "TASKRUN_KEY": SECRET,
            "PGPASSWORD": SECRET,
        }

    def order(self, act: Act, **keys: Any) -> dict[str, Any]:
        """What makes an agent that plays this whenever it is run, as JSON can say it; `keys` go before the stage's."""
        return {
            "table": {"name": act.name.lower(), "kind": self.KIND, **self.keys(act), **keys},
            "work_dir": str(self.work_dir),
            "environ": dict(self.environ()),
            "stop_grace": self.STOP_GRACE,
        }


class Rehearsal:
    """One test with the agents of a stage."""

    def __init__(self, stage: AgentStage, node: pytest.Item) -> None:
        self.stage = stage
        #: Of all runs in this test.
        self.run_id = str(uuid.uuid4())
        self._node = node

    def order(self, act: Act, **keys: Any) -> dict[str, Any]:
        """What has a `lonely_worker` play this. Skips the test if the kind cannot."""
        reason = self.stage.CANNOT.get(act, "")
        name = self.stage.AGENT or self.stage.KIND
        self._node.user_properties.append((TRIED, [name, act.name, reason]))
        if reason:
            pytest.skip(f"{name} cannot: {act.value}: {reason}")
        return {**self.stage.order(act, **keys), "run_id": self.run_id}

    def agent(self, act: Act, **keys: Any) -> Agent:
        """The agent that plays this, with these keys before its own. Skips the test if its kind cannot."""
        return agent_of(self.order(act, **keys))

    def request(self, input: object = "hello", *, session_id: str = "", fork: bool = False) -> AgentRequest:
        """What an agent is run with; `input` is anything that JSON can say."""
        return AgentRequest(self.run_id, "task-1", json.dumps(input), session_id=session_id, fork=fork)

    async def play(self, act: Act, sink: AgentSink) -> AgentResult:
        """Has the act played to its end."""
        return await self.agent(act).run(self.request(), sink)


class AgentTests:
    """What every part of the contract has: nothing of a run is ever left."""

    @pytest.fixture
    def rehearsal(self, stage: AgentStage, request: pytest.FixtureRequest) -> Iterator[Rehearsal]:
        """This test's agents. After it no process and no directory of a run may be left."""
        rehearsal = Rehearsal(stage, request.node)
        yield rehearsal
        assert kill_all_of(rehearsal.run_id) == []
        assert list(stage.work_dir.glob("run-*")) == []

    @pytest.fixture
    def sink(self) -> RecordingSink:
        """Keeps what the agent says."""
        return RecordingSink()
