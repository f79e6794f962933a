"""What a worker has to say while its last write is still under way.

What gathers is sent in one go: natural batching, without a timer. Output of one run that no other message of that run
interrupts becomes one segment, wherever the messages of other runs lie: order is kept within a run, and across runs
nobody can tell. The outbox is bounded: at `CAPACITY` the agents have to wait. Nothing is dropped for want of room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from taskrun.domain.protocol import FromWorker, Heartbeat, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage

#: Bytes. A message counts its text and `OVERHEAD`: 1 MiB of text, or 4096 small chunks.
CAPACITY = 1024 * 1024
OVERHEAD = 256
#: Reports of runs are let in above the capacity, since there are few for each run; above this no run is taken in.
FLOOD = 2 * CAPACITY

RunWord = RunReport | RunEvent | RunMessage


@dataclass(eq=False, slots=True)
class _Stretch:
    """Output of one run that gathers."""

    lane: Lane
    first_seq: int
    contents: list[str] = field(default_factory=list)

    def segment(self) -> OutputSegment:
        return OutputSegment(self.lane.run_id, self.first_seq, tuple(self.contents))


class Outbox:
    """Gathers messages until they are taken, all at once."""

    def __init__(self) -> None:
        self._entries: list[RunWord | _Stretch] = []
        self._heartbeat: Heartbeat | None = None
        self.weight = 0

    def __bool__(self) -> bool:
        return bool(self._entries) or self._heartbeat is not None

    @property
    def full(self) -> bool:
        """Agents have to wait."""
        return self.weight >= CAPACITY

    @property
    def flooded(self) -> bool:
        """The control plane has to wait: it says more than it listens to."""
        return self.weight >= FLOOD

    def lane(self, run_id: str) -> Lane:
        """The way in for a run that begins. A run has one."""
        return Lane(self, run_id)

    def add(self, word: RunWord) -> None:
        """Puts in a message of a run."""
        self._entries.append(word)
        self.weight += OVERHEAD + _length(word)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Puts in a heartbeat, in place of one that has not left yet."""
        self._heartbeat = heartbeat

    def take(self) -> Sequence[FromWorker]:
        """Takes everything out, oldest first; the heartbeat comes last, so that its ack speaks for all before it."""
        messages: list[FromWorker] = []
        for entry in self._entries:
            messages.append(entry.segment() if isinstance(entry, _Stretch) else entry)
        if self._heartbeat is not None:
            messages.append(self._heartbeat)
        self.clear()
        return messages

    def clear(self) -> None:
        """Forgets everything: nobody is there to hear it."""
        for entry in self._entries:
            if isinstance(entry, _Stretch):
                entry.lane.stretch = None
        self._entries = []
        self._heartbeat = None
        self.weight = 0

    def open_stretch(self, lane: Lane) -> list[str]:
        """Where the lane's output gathers from now on."""
        stretch = _Stretch(lane, lane.next_seq)
        self._entries.append(stretch)
        lane.stretch = stretch.contents
        return stretch.contents


class Lane:
    """One run's way into the outbox: numbers its output and keeps its messages in order."""

    __slots__ = ("_outbox", "closed", "next_seq", "run_id", "stretch")

    def __init__(self, outbox: Outbox, run_id: str) -> None:
        self._outbox = outbox
        self.run_id = run_id
        #: The run is over, or nobody listens any more: what its agent still says goes nowhere.
        self.closed = False
        #: The number of the next chunk.
        self.next_seq = 0
        #: What the next chunk may be added to.
        self.stretch: list[str] | None = None

    def text(self, chunk: str) -> None:
        """Puts in a chunk of output, one of `chunks.chunks`."""
        if self.closed:
            return
        contents = self.stretch
        if contents is None:
            contents = self._outbox.open_stretch(self)
        contents.append(chunk)
        self.next_seq += 1
        # No character of UTF-8 takes more than four bytes: good enough for a bound, and free.
        self._outbox.weight += OVERHEAD + (len(chunk) if chunk.isascii() else 4 * len(chunk))

    def add(self, word: RunWord) -> None:
        """Puts in a message of this run."""
        if not self.closed:
            self.stretch = None
            self._outbox.add(word)

    def close(self) -> None:
        """Nothing more goes in; doing it twice is harmless."""
        self.closed = True


def _length(word: RunWord) -> int:
    if isinstance(word, RunReport):
        return len(word.error)
    if isinstance(word, RunMessage):
        return len(word.content)
    return sum(len(key) + len(value) for key, value in word.metadata.items())
