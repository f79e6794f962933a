"""`kill -9` of a worker in the middle of a run: another completes the task, and nothing of the run is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.domain.records import RunEvent, Task
from taskrun.domain.status import FailureKind, RunEventType, TaskStatus
from taskrun.testing.model_scripts import ModelRequest, Reply, Say, UseTool
from taskrun.testing.scripted_model import ScriptedModel
from tests.system.site import RunningProgram, Site, command, only_run, processes_of, soon

#: Promised: seconds after which no process of a dead worker's runs is left.
NO_ORPHAN_AFTER = 2.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, whose control plane waits for nobody to come back."""
    with Site(tmp_path) as site:
        site.start_plane("--worker-grace", "1s")
        yield site


#: Ignores every polite signal, has descendants in sessions of their own, orphaned ones too, that hold its output open.
#: Once its gate is open it is done at once.
NASTY = command(
    "nasty",
    """
    gate=$(cat)
    [ -e "$gate" ] && { echo DONE; exit; }
    trap '' TERM HUP INT
    (setsid sh -c 'sleep 1001' &)
    (setsid sh -c '(sh -c "sleep 1002" &)' &)
    echo BEGUN
    sleep 1003
    """,
)
NASTY_SLEEPS = {"sleep 1001", "sleep 1002", "sleep 1003"}


def completed_elsewhere(task: Task) -> bool:
    """Whether the second attempt, on another worker than the first, made it."""
    first, second = task.runs
    return (
        task.status is TaskStatus.COMPLETED
        and first.failure is FailureKind.WORKER_LOST
        and second.worker_id != first.worker_id
    )


def the_worker_of(task: Task, workers: dict[str, RunningProgram]) -> RunningProgram:
    return workers[task.runs[-1].worker_id]


def test_a_killed_worker_s_task_completes_on_another_and_its_nasty_agent_is_gone(site: Site, gate: Path) -> None:
    workers = {name: site.start_worker(name, agents=[NASTY]) for name in ("one", "two")}
    task = site.create("nasty", str(gate))
    site.wait_for_output(task.id, "BEGUN")
    task = site.client.get(task.id)
    run_id = only_run(task)
    soon(lambda: set(processes_of(run_id)) >= NASTY_SLEEPS)
    gate.touch()
    the_worker_of(task, workers).tell(signal.SIGKILL)
    soon(lambda: not processes_of(run_id), NO_ORPHAN_AFTER)
    assert completed_elsewhere(site.end_of(task.id))


# Claude Code, the real one, in the middle of a tool call.

CODER = {
    "name": "coder",
    "kind": "claude-code",
    "model": "claude-sonnet",
    "allowed_tools": ["Bash"],
}
TOOL = "sleep 600"


class Sleeper:
    """A model that asks for a long tool call, until it is woken; from then on it answers at once."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def __call__(self, request: ModelRequest) -> Reply:
        if self.woken.is_set():
            return Say("All is well.")
        return UseTool("Bash", {"command": TOOL, "description": "Sleep", "timeout": 600_000})


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
def model(sleeper: Sleeper) -> Iterator[ScriptedModel]:
    with ScriptedModel(sleeper) as model:
        yield model


def in_a_tool_call(site: Site) -> Task:
    """A task whose agent is in the middle of a tool call."""
    task = site.create("coder", "Sleep well.")
    for entry in site.story(task.id):
        if isinstance(entry.body, RunEvent) and entry.body.type is RunEventType.TOOL_REQUESTED:
            break
    task = site.client.get(task.id)
    soon(lambda: TOOL in processes_of(only_run(task)))
    return task


def test_a_killed_worker_s_claude_code_session_continues_on_another_and_its_tool_call_is_gone(
    site: Site, model: ScriptedModel, sleeper: Sleeper
) -> None:
    workers = {name: site.start_worker(name, agents=[CODER], environ=model.environ()) for name in ("one", "two")}
    task = in_a_tool_call(site)
    sleeper.woken.set()
    the_worker_of(task, workers).tell(signal.SIGKILL)
    soon(lambda: not processes_of(only_run(task)), NO_ORPHAN_AFTER)
    assert completed_elsewhere(site.end_of(task.id))


def test_a_task_cancelled_in_the_middle_of_a_tool_call_is_cancelled_and_its_process_tree_is_gone(
    site: Site, model: ScriptedModel
) -> None:
    site.start_worker("one", agents=[CODER], environ=model.environ())
    task = in_a_tool_call(site)
    site.client.cancel(task.id)
    soon(lambda: not processes_of(only_run(task)), 15.0)
    assert site.end_of(task.id).status is TaskStatus.CANCELLED
