"""The short form of `make chaos`: real processes, mutual TLS, a little of every fault."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.disk import NotPossible
from chaos.oracle import Verdict
from chaos.plans import SHORT, SHORT_DISK
from chaos.site import ROOT, leftovers
from chaos.verdicts import shown
from chaos.watchers import Audience
from tests.system.site import soon

SEED = 1

pytestmark = pytest.mark.timeout(300)


def assert_good(verdict: Verdict) -> None:
    assert verdict.good, shown(verdict, 20)


async def test_nothing_is_lost_doubled_or_corrupted(tmp_path: Path) -> None:
    assert_good(await SHORT.play(SEED, tmp_path))


async def test_a_full_disk_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    try:
        verdict = await SHORT_DISK.play(SEED, tmp_path)
    except NotPossible:
        pytest.skip("mounting a small file system is not permitted here")
    assert_good(verdict)


async def test_a_control_plane_that_forgets_is_found_out(tmp_path: Path) -> None:
    """The memory store, where a durable one is promised: the harness sees it, with all that is real."""
    kill = {"kill: control plane": 1}
    forgetful = replace(SHORT, faults=kill, proof={}, tasks=20, workers=1, plane=("--store", "memory"))
    verdict = await forgetful.play(SEED, tmp_path)
    assert not verdict.void
    assert len(verdict.of("lost")) > 1


async def test_a_round_whose_dead_watchers_live_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Audience, "_freeze", lambda self, watchers: None)
    verdict = await Audience(dead=2, live=1, seconds=2).play(SEED, tmp_path)
    assert "dead watchers: 0 of 2" in verdict.void


@contextmanager
def a_process_of(run: str) -> Iterator[None]:
    environ = {**os.environ, "TASKRUN_RUN_ID": run}
    process = subprocess.Popen(["sleep", "60"], env=environ)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_a_process_that_is_left_of_a_run_is_seen() -> None:
    with a_process_of("run-of-this-test"):
        await asyncio.to_thread(soon, lambda: leftovers({"run-of-this-test"}) == {"run-of-this-test": ["sleep 60"]})
    assert leftovers({"run-of-this-test"}) == {}


def test_an_unknown_round_is_a_clear_error() -> None:
    done = subprocess.run([sys.executable, "-m", "chaos", "flood"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown round: flood" in done.stderr


def test_a_round_that_is_left_out_is_no_success() -> None:
    code = "import sys, asyncio, chaos.rounds, chaos.__main__ as m; chaos.rounds.programs = lambda: None; "
    code += "sys.argv = ['chaos', 'replicas']; sys.exit(asyncio.run(m.main()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "left out, PostgreSQL is not installed" in done.stdout
    assert done.returncode == 1
