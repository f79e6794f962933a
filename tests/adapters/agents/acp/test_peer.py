from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskrun.adapters.agents.acp.peer import BrokenOff, Peer


class Mute:
    """A program that says nothing and ends at once."""

    async def output(self) -> AsyncIterator[bytes]:
        return
        yield

    async def tell(self, words: bytes) -> None: ...


async def test_who_has_ended_answers_nothing_more() -> None:
    program: Any = Mute()
    peer = Peer(program, program)
    async with peer.listening():
        for _ in range(2):
            with pytest.raises(BrokenOff):
                await peer.request("anything", {})
