"""The simulation sees each planted bug, within the seeds that `make test` plays."""

from __future__ import annotations

import pytest

from simulation.campaign import play
from tests.simulation.bugs import BUGS, Bug
from tests.simulation.test_worlds import SEEDS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
def test_a_planted_bug_is_seen(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    failures = (failure.what for seed in SEEDS for failure in play([seed]).failures)
    assert any(says in what for what in failures for says in bug.says)
