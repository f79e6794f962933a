"""What an agent may write without harm to its worker: too much, too fast, and unreadable."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from taskrun.ports.agent_events import AgentEvent
from taskrun.testing.contracts.agent_acts import AFTER, BEFORE, FLOOD_BYTES, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink

#: What a worker may hold of one run's output that is not taken from it.
BOUND_BYTES = FLOOD_BYTES // 2

_LOOKS, _SECONDS_BETWEEN_LOOKS = 10, 0.02


class ReluctantSink:
    """Implements `AgentSink`; takes its first text only when the worker has gathered all that it will gather."""

    def __init__(self) -> None:
        self.characters = 0

    async def text(self, text: str) -> None:
        """Waits until nothing grows any more: that nothing comes can only be seen by looking."""
        quiet = 0 if self.characters == 0 else _LOOKS
        self.characters += len(text)
        held = _held()
        while quiet < _LOOKS:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            held, before = _held(), held
            quiet = 0 if held > before else quiet + 1

    async def event(self, event: AgentEvent) -> None: ...


class ReadingContract(AgentTests):
    """Output is read whatever it is, and no faster than it is taken."""

    async def test_a_line_of_any_length_ends_nothing(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.LONG_LINE, sink)
        assert result.failure is None
        assert sink.output.startswith(BEFORE)
        assert sink.output.rstrip().endswith(AFTER)

    async def test_what_is_no_utf8_ends_nothing_and_is_text_like_any_other(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.NOT_UTF8, sink)
        assert result.failure is None
        assert sink.output.startswith(BEFORE)
        assert sink.output.rstrip().endswith(AFTER)
        assert sink.output.encode(errors="replace") == sink.output.encode("utf-8", "surrogatepass")

    @pytest.fixture
    def measured(self) -> Iterator[None]:
        """Counts the bytes that Python holds."""
        tracemalloc.start()
        yield
        tracemalloc.stop()

    @pytest.mark.usefixtures("measured")
    async def test_output_that_nobody_takes_waits_where_it_comes_from(self, rehearsal: Rehearsal) -> None:
        agent, sink, before = rehearsal.agent(Act.FLOOD), ReluctantSink(), _held()
        tracemalloc.reset_peak()
        result = await agent.run(rehearsal.request(), sink)
        assert (result.failure, sink.characters >= FLOOD_BYTES) == (None, True)
        assert tracemalloc.get_traced_memory()[1] - before < BOUND_BYTES


def _held() -> int:
    return tracemalloc.get_traced_memory()[0]
