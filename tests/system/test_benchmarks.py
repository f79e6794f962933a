"""`make bench` works. Whether its marks are reached is not asked here: this machine does other things as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
