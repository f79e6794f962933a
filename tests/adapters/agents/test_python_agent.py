"""A function that worker.toml names is found and loaded when the worker starts; what it does is in its contract."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.python import PythonDefinition
from taskrun.domain.errors import InvalidArgument
from taskrun.ports.agents import Agent, AgentRequest
from taskrun.testing.recording_sink import RecordingSink

MODULE = """
async def echo(request, sink):
    return request.input_json

def not_async(request, sink): ...
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "echoes_of_mine.py").write_text(MODULE)
    (tmp_path / "broken_of_mine.py").write_text("1 / 0")
    (tmp_path / "script_of_mine.py").write_text("import sys; sys.exit(3)")
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("echoes_of_mine", None)


@pytest.fixture
def agent(place: Path) -> Callable[..., Agent]:
    def make(function: str, **keys: Any) -> Agent:
        definition = PythonDefinition(name="mine", function=function, path=str(place), **keys)
        return make_agent(definition, work_dir=place / "runs", environ={}, stop_grace=1.0)

    return make


async def test_a_function_in_a_directory_is_found(agent: Callable[..., Agent]) -> None:
    mine = agent("echoes_of_mine:echo", description="says it again", labels={"a": "b"})
    assert (mine.spec.name, mine.spec.description, mine.spec.labels) == ("mine", "says it again", {"a": "b"})
    sink = RecordingSink()
    assert (await mine.run(AgentRequest("r", "t", '"hi"'), sink)).failure is None
    assert sink.output == '"hi"'


def test_a_directory_is_looked_into_after_all_that_is_installed(agent: Callable[..., Agent], place: Path) -> None:
    agent("echoes_of_mine:echo")
    agent("echoes_of_mine:echo")
    assert (sys.path[-1], sys.path.count(str(place))) == (str(place), 1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("no_such_module:echo", "ModuleNotFoundError"),
        ("echoes_of_mine:no_such_function", "AttributeError"),
        ("broken_of_mine:echo", "ZeroDivisionError"),
        ("script_of_mine:echo", "SystemExit: 3"),
        ("echoes_of_mine:not_async", "is no async function"),
    ],
)
def test_a_function_that_is_not_there_is_said_when_the_worker_starts(
    agent: Callable[..., Agent], function: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        agent(function)


@pytest.mark.parametrize("function", ["", "module", "module:", ":function"])
def test_a_function_has_a_module_and_a_name(function: str) -> None:
    with pytest.raises(ValueError, match="`function` is missing"):
        PythonDefinition(name="mine", function=function)


@pytest.mark.parametrize("key", [{"working_directory": "/"}, {"environment": ("A",)}, {"set_environment": {"A": "b"}}])
def test_what_only_a_process_can_have_is_refused(key: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a function is in the worker's own process"):
        PythonDefinition(name="mine", function="a:b", **key)
