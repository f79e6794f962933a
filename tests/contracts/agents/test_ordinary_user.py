"""What the contract says of stopping, where the tests are root's and the worker an ordinary user's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskrun.testing.contracts.agent_nastiness import ROUNDS
from tests.ordinary_user import OrdinaryUser

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: Agents from elsewhere take long to start, and end as the others do: they are played where there are many rounds.
KINDS = ("command", "jsonl", "acp", *(("claude_code", "codex", "acp_claude") if ROUNDS > 1 else ()))
#: The tests of the contract that these words choose: those that are played in rounds, and the others.
WORDS, NASTY, OTHERS = "leaves_no_process or a_cancel", 3, 2


@pytest.mark.timeout(120 + 60 * ROUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_an_ordinary_users_agent(ordinary_user: OrdinaryUser, kind: str) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={ordinary_user.place / 'tmp'}", "-k", WORDS]
    ended = subprocess.run(
        [*ordinary_user.become, "env", f"--chdir={ROOT}", sys.executable, *words, str(HERE / f"test_{kind}.py")],
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = re.search(r"^(\d+) passed, \d+ deselected in", ended.stdout, re.MULTILINE)
    assert passed is not None, ended.stdout + ended.stderr
    assert int(passed[1]) == NASTY * ROUNDS + OTHERS
