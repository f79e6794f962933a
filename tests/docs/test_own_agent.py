"""docs/agents-own.md, step by step: a package of its files is installed by pip, and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "agents-own.md"
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: Where pip puts it.
INSTALLED = "installed"

#: What a worker does with its file when it starts.
WORKER = """
import sys, tomllib
from pathlib import Path
from taskrun.adapters.agents.definitions import make_agent
from taskrun.apps.agent_tables import read_agents

[definition] = read_agents(tomllib.loads(Path(sys.argv[1]).read_text())["agents"])
agent = make_agent(definition, work_dir=Path(), environ={}, stop_grace=1.0)
print(definition.kind, agent.spec.name, definition.command, definition.timeout)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with the page's files, which pip has installed, though not where everybody else would see it."""
    for name, text in FILE.findall(PAGE.read_text()):
        (tmp_path / name).write_text(text)
    # What it takes is all here: nothing is asked of anybody.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    ended = python(tmp_path, "-m", "pip", "install", "-q", *offline, "--target", INSTALLED, ".")
    assert (ended.returncode, ended.stderr) == (0, "")
    return tmp_path


def python(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Whatever whoever runs our tests has asked for, theirs say what is read below.
    environ = {**os.environ, "PYTHONPATH": str(package / INSTALLED), "PYTEST_ADDOPTS": ""}
    words = [sys.executable, *arguments]
    return subprocess.run(words, cwd=package, env=environ, capture_output=True, text=True, timeout=100, check=False)


def test_a_worker_knows_the_kind(package: Path) -> None:
    ended = python(package, "-c", WORKER, "worker.toml")
    assert (ended.stderr, ended.stdout) == ("", "parrot polly ('polly', '--cracker') 600.0\n")


def test_a_key_that_the_kind_does_not_have_is_refused(package: Path) -> None:
    with (package / "worker.toml").open("a") as file:
        file.write("feathers = 'green'\n")
    assert "of kind parrot has no key 'feathers'" in python(package, "-c", WORKER, "worker.toml").stderr


def test_it_keeps_the_contract(package: Path) -> None:
    ended = python(package, "-m", "pytest", "-q", "test_parrot.py")
    passed = re.search(r"^(\d+) passed, (\d+) skipped in", ended.stdout, re.MULTILINE)
    assert passed is not None, ended.stdout + ended.stderr
    assert (int(passed[1]) > 15, int(passed[2]) < 20) == (True, True)


def test_it_keeps_to_the_style_of_the_house(package: Path) -> None:
    """The file is one to begin with: it passes what ours pass."""
    ended = python(package, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", os.devnull, "parrot.py")
    assert (ended.returncode, ended.stdout) == (0, "Success: no issues found in 1 source file\n")
