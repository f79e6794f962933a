"""The simulation sees each planted bug, within the seeds that `make test` plays."""

from __future__ import annotations

import ast
import inspect

import pytest

from simulation.campaign import play
from taskrun.testing import invariants
from tests.simulation.bugs import BUGS, Bug
from tests.simulation.test_worlds import SEEDS

by_name = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)


@pytest.mark.timeout(600)
@by_name
def test_a_planted_bug_is_seen(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    failures = (failure.what for seed in SEEDS for failure in play([seed]).failures)
    assert any(map(bug.is_seen, failures))


@by_name
def test_a_crash_is_not_taken_for_it(bug: Bug) -> None:
    assert not bug.is_seen("AssertionError: ")
    assert not any(bug.is_seen(f"KeyError: {says!r}") for says in bug.says)


def test_no_invariant_is_broken_without_a_word() -> None:
    tree = ast.parse(inspect.getsource(invariants))
    demands = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert len(demands) > 20
    assert [node.lineno for node in demands if node.msg is None] == []
