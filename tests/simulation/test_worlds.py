"""Thousands of worlds, each with its own faults: nothing that is promised is broken in any of them."""

from __future__ import annotations

import pytest

from simulation.campaign import Outcome, campaign
from simulation.faults import EVENTS, ODDS

SEEDS = range(2_000)
#: What comes of faults, or can only be seen in the middle of them.
CONSEQUENCES = (
    "half-open connection",
    "frame lost",
    "stream into the void",
    "commit of a dead",
    "hello from the past",
    "two agents at once",
    "release",
    "message taken",
    "another turn",
    "follow-up",
)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    *_, outcome = campaign(SEEDS)
    return outcome


@pytest.mark.timeout(600)
def test_every_world_keeps_the_promises_and_comes_to_rest(outcome: Outcome) -> None:
    assert outcome.seeds == len(SEEDS)
    assert not outcome.failures, "\n".join(map(str, outcome.failures))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", [*EVENTS, *ODDS, *CONSEQUENCES])
def test_every_kind_of_fault_happens(outcome: Outcome, what: str) -> None:
    assert outcome.counts[what] >= 10
