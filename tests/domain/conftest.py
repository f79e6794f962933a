from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskrun.testing.invariants import check_story
from taskrun.testing.simulation import Simulation


@pytest.fixture
def sim() -> Iterator[Simulation]:
    """A control plane without an event loop; its invariants are checked after each turn, the stories at the end."""
    sim = Simulation()
    yield sim
    for task in sim.store.tasks.values():
        check_story(task, sim.story(task.id))
