from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.stores.limited_planes import Planes, Start


@pytest.fixture
async def start(emptied_url: str) -> AsyncIterator[Start]:
    """Starts a control plane under these limits, on the database of all that are started with it."""
    planes = Planes(emptied_url)
    yield planes.start
    await planes.stop()
