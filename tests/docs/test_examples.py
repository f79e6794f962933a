"""The examples run, and the README shows them as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.site import ECHO, Site

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: This one calls a control plane; the others are all there is.
REMOTE = ROOT / "examples" / "remote_client.py"
README = (ROOT / "README.md").read_text()

#: What each example says when it works.
SAYS = {
    "embedded.py": r'Hello, "world"!\n',
    "own_telemetry.py": r"(?s).*\bTaskMoved\b.*",
    "remote_client.py": r"Hello!\nCOMPLETED\n",
    "scheduler.py": r"gpu small\n\[\('gpu-2', 1\)\]\n",
}
#: Lines that an example may have, its docstring and empty ones aside.
MOST_LINES = 15


def lines(source: str) -> list[str]:
    """What the README shows of an example, without empty lines."""
    return [line for line in source.split('"""', 2)[2].splitlines() if line.strip()]


def check_what_it_says(example: Path, *arguments: str) -> None:
    words = [sys.executable, str(example), *arguments]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(SAYS[example.name], ended.stdout)


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path != REMOTE], ids=lambda path: path.name)
def test_an_example_does_what_it_says(example: Path) -> None:
    check_what_it_says(example)


def test_the_example_of_a_remote_client_does_what_it_says(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.start_plane()
        site.start_worker("one", agents=[ECHO])
        check_what_it_says(REMOTE, site.grpc_addr, str(site.certs))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_at_most_15_lines_that_are_not_empty(example: Path) -> None:
    assert len(lines(example.read_text())) <= MOST_LINES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_readme_has_every_example(example: Path) -> None:
    assert f"<!-- examples/{example.name} -->\n```python\n" in README


def test_the_readme_has_no_python_that_is_not_an_example() -> None:
    assert README.count("```python") == len(EXAMPLES)


def test_the_readme_shows_the_examples_as_they_are() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "readme"), "--check"]
    assert subprocess.run(check, timeout=60, check=False).returncode == 0
