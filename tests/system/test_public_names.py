"""What `import taskrun` gives, and what it does not load."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

import taskrun

#: What an embedder does not pay for.
HEAVY = {
    "grpc",
    "google",
    "cryptography",
    "starlette",
    "uvicorn",
    "dependency_injector",
    "prometheus_client",
    "msgspec",
}

SOURCE = ast.parse(Path(inspect.getfile(taskrun)).read_text())


@pytest.fixture(scope="module", autouse=True)
def other_tests_hear_the_log() -> Iterator[None]:
    """The library is silent once `taskrun.local` is imported; the programs, which other tests run, are not."""
    yield
    logger.enable("taskrun")


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after this statement."""
    script = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(ended.stdout.split())


def declared_to_type_checkers() -> dict[str, str]:
    """Each public name with its home, as the block for type checkers has it."""
    [block] = [
        node
        for node in SOURCE.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {
        alias.asname or "": f"{statement.module}"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_importing_taskrun_loads_none_of_its_own_modules_but_the_version() -> None:
    script = "import sys, taskrun; print(*sorted(name for name in sys.modules if name.startswith('taskrun')))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["taskrun", "taskrun.version"]


def test_importing_taskrun_loads_nothing_heavy() -> None:
    assert not loaded_by("import taskrun") & (HEAVY | {"asyncio", "loguru"})


def test_no_name_but_the_asynchronous_client_loads_grpc_or_anything_else_of_the_network() -> None:
    names = [name for name in taskrun.__all__ if name != "AsyncClient"]
    assert not loaded_by(f"import taskrun; [getattr(taskrun, name) for name in {names}]") & HEAVY


def test_the_asynchronous_client_loads_grpc() -> None:
    assert "grpc" in loaded_by("import taskrun; taskrun.AsyncClient")


@pytest.mark.parametrize("name", taskrun.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(taskrun, name)
    # An alias of a union and a string have no docstring of their own.
    assert not inspect.isclass(value) or inspect.getdoc(value)


def test_type_checkers_are_told_of_the_same_names_at_the_same_homes() -> None:
    assert declared_to_type_checkers() == taskrun._HOME_OF


def test_a_public_name_is_spelt_as_it_is_at_home() -> None:
    [block] = [node for node in SOURCE.body if isinstance(node, ast.If)]
    names = [alias for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [alias.name for alias in names] == [alias.asname for alias in names]


def test_no_name_is_public_twice() -> None:
    assert len(taskrun.__all__) == len(set(taskrun.__all__))


def test_dir_shows_the_public_names() -> None:
    assert dir(taskrun) == sorted(taskrun.__all__)


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="'taskrun' has no attribute 'Nonsense'"):
        _ = taskrun.Nonsense
