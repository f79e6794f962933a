"""The short form of `make fuzz`: every target takes its seeds and a few hundred changes of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fuzz.__main__ import NAMES
from fuzz.drivers import IS_GUIDED

ROOT = Path(__file__).parents[2]
SEED, CASES = 1, 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fuzz", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def verdicts() -> Mapping[str, str]:
    """What is told of each target, all of it."""
    told = run("--cases", str(CASES), "--seed", str(SEED)).stdout
    parts = re.split(rf"^({'|'.join(NAMES)}) ", told, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_target_takes_whatever_comes(verdicts: Mapping[str, str], name: str) -> None:
    told = verdicts[name]
    match = re.match(r" *good +(\d+) cases +[\d.]+ MiB\n$", told)
    assert match, told
    assert int(match[1]) > CASES


@pytest.mark.skipif(not IS_GUIDED, reason="atheris is not to be had for this machine or this Python")
def test_libfuzzer_finds_its_way_by_what_is_reached() -> None:
    done = run("--seconds", "1", "--seed", str(SEED), "tokens")
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.search(r"^tokens +good +(\d+) cases", done.stdout, re.MULTILINE)
    assert match, done.stdout
    assert int(match[1]) > CASES


def test_a_case_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "case").write_bytes(b"\xff")
    assert run("--case", str(tmp_path / "case"), "hello", "tokens").returncode == 0


def test_an_unknown_target_is_a_clear_error() -> None:
    done = run("moon")
    assert done.returncode == 2
    assert "unknown target: moon" in done.stderr
