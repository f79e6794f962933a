"""`make bench` works. Whether its marks are reached is not asked here: this machine does other things as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.replicas import Round, figures
from benchmarks.table import Table

ROOT = Path(__file__).parents[2]


def test_a_section_prints_its_figures_beside_the_raw_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "output"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode in {0, 1}, done.stderr
    header, _, run, chunks, *_ = done.stdout.splitlines()
    assert header.split() == ["what", "figure", "raw", "gRPC", "ratio", "mark"]
    assert chunks.startswith("20,000 output chunks, agent to watcher")
    assert chunks.count("/s") == 2
    assert run.startswith("one run of 2,000 chunks")


def test_an_unknown_section_is_a_clear_error() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "speed"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown section: speed" in done.stderr


@pytest.mark.parametrize(
    ("before", "two", "after", "missed"),
    [
        pytest.param(100, 100, 100, False, id="as fast"),
        pytest.param(100, 99, 100, True, id="slower, and the machine is quiet"),
        pytest.param(97, 97, 103, False, id="slower by less than one differs from itself"),
        pytest.param(97, 93, 103, True, id="slower by more than that"),
        pytest.param(50, 89, 150, True, id="much slower, however noisy the machine"),
    ],
)
def test_two_control_planes_must_lose_nothing_but_noise(before: int, two: int, after: int, missed: bool) -> None:
    table = Table()
    for figure in figures("which end", [Round(before, {2: two, 3: 1}, after)] * 3):
        table.add(figure, None)
    assert table.missed is missed
