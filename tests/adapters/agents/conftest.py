"""Real programs, and a look at all processes of this machine for what they leave behind."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskrun.ports.agents import AgentRequest
from taskrun.testing.processes import kill_all_of, processes_of
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

ProcessesOf = Callable[[str], list[str]]


def _processes_of(run_id: str) -> list[str]:
    """The command lines of all processes that have this run's id in their environment, whatever the variable."""
    return list(processes_of(run_id).values())


@pytest.fixture(name="processes_of")
def look() -> ProcessesOf:
    return _processes_of


@pytest.fixture
def gone_within() -> Callable[[str, float], bool]:
    """Whether all processes of a run are gone before so many seconds are over."""

    def wait(run_id: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while left := _processes_of(run_id):
            if time.monotonic() > deadline:
                print("left:", left)
                return False
            time.sleep(0.02)
        return True

    return wait


@pytest.fixture
def run_id() -> Iterator[str]:
    """A run's id; nothing of the run may be left after the test."""
    run_id = str(uuid.uuid4())
    yield run_id
    assert kill_all_of(run_id) == []


@pytest.fixture
def request_for(run_id: str) -> Callable[[str], AgentRequest]:
    return lambda input_json: AgentRequest(run_id, "task-1", input_json)


@pytest.fixture
def environ() -> dict[str, str]:
    """A worker's environment: what a program needs, and what it must never see."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/root-of-the-worker",
        "TASKRUN_KEY": "the worker's secret",
        "AWS_SECRET_ACCESS_KEY": "another secret",
    }


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"
