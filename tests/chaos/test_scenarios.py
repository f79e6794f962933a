"""Each scenario of the planted bugs leaves a system without them in good order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.chaos import scenarios
from tests.chaos.world import World


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
async def test_nothing_is_found_where_no_bug_is_planted(scenario: Callable[[World], Awaitable[None]]) -> None:
    async with World() as world:
        await scenario(world)
        verdict = await world.verdict()
    assert verdict.good, "\n".join(map(str, verdict.findings))
    assert verdict.counters["agents began"]
