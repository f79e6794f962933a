"""The oracle catches each planted bug, as what it is. That it finds nothing without one is in `test_scenarios`."""

from __future__ import annotations

import pytest

from tests.chaos.bugs import BUGS, Bug
from tests.chaos.world import World


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
async def test_a_planted_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    async with World() as world:
        await bug.scenario(world)
        verdict = await world.verdict()
    found = [str(finding) for finding in verdict.of(bug.kind)]
    assert any(bug.says in finding for finding in found), [str(finding) for finding in verdict.findings]
