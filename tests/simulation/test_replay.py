"""A seed is a history: it happens again, anywhere, and a failing one is told step by step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simulation.__main__ import replay
from simulation.campaign import play
from tests.chaos import bugs

#: Of a world with most kinds of faults.
SEED = 7


def story(hash_seed: str) -> str:
    """As another process tells it. Sets are in another order there."""
    command = [sys.executable, "-m", "simulation", "--seed", str(SEED)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_seed_is_the_same_history_in_every_process() -> None:
    first = story("1")
    assert len(first.splitlines()) > 100
    assert first == story("2")


def test_a_failing_seed_is_printed_with_what_replays_it_and_fails_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bugs.handed_out_twice(monkeypatch)
    failure = next(failure for seed in range(100) for failure in play([seed]).failures)
    assert f"make simulate SEED={failure.seed}" in str(failure)
    assert replay(failure.seed) == 1
    assert failure.what.partition(": ")[2] in capsys.readouterr().out
