"""One run's way into the outbox: numbers what is said of the run, and keeps it in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from taskrun.domain.limits import MAX_CHUNKS
from taskrun.domain.protocol import MESSAGE_WEIGHT, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage

if TYPE_CHECKING:
    from taskrun.domain.daemon.outbox import Outbox

RunWord = RunReport | RunEvent | RunMessage


class Item:
    """Something said of a run: one message, or a stretch of output that gathers until it is taken."""

    __slots__ = ("contents", "lane", "seq", "weight", "word")

    def __init__(self, lane: Lane, seq: int, weight: int, word: RunWord | None = None) -> None:
        self.lane, self.seq, self.weight, self.word = lane, seq, weight, word
        self.contents: list[str] = []

    @property
    def end(self) -> int:
        """The number of what comes after it."""
        return self.seq + (len(self.contents) if self.word is None else 1)

    def message(self) -> OutputSegment | RunWord:
        """What goes to the control plane. Nothing is added to it any more."""
        if self.word is not None:
            return self.word
        if self.lane.stretch is self:
            self.lane.stretch = None
        return OutputSegment(self.lane.run_id, self.seq, tuple(self.contents))

    def skip_to(self, seq: int) -> None:
        """Leaves out what comes before this number."""
        if seq > self.seq:
            self.contents = self.contents[seq - self.seq :]
            self.seq = seq


class Lane:
    """Where what is said of one run goes in."""

    __slots__ = (
        *("_outbox", "closed", "events", "forgotten", "held_items"),
        *("items", "next_seq", "run_id", "stretch", "weight"),
    )

    def __init__(self, outbox: Outbox, run_id: str) -> None:
        self._outbox = outbox
        self.run_id = run_id
        #: The run is over, or nobody listens any more: what its agent still says goes nowhere.
        self.closed = False
        self.forgotten = False
        #: The number of what is said next.
        self.next_seq = 0
        #: Events of it so far, in all turns of its agent.
        self.events = 0
        #: What the next chunk may be added to.
        self.stretch: Item | None = None
        #: What waits for the control plane to say where to go on; None while it need not.
        self.held_items: list[Item] | None = None
        #: How much of it is in the outbox: in number, and in bytes.
        self.items = 0
        self.weight = 0

    @property
    def held(self) -> bool:
        """Whether the control plane has to say first where to go on."""
        return self.held_items is not None

    def text(self, chunk: str) -> None:
        """Puts in a chunk of output, one of `chunks.chunks`."""
        if self.closed:
            return
        # No character of UTF-8 takes more than four bytes: good enough for a bound, and free.
        weight = MESSAGE_WEIGHT + (len(chunk) if chunk.isascii() else 4 * len(chunk))
        stretch = self.stretch
        if stretch is None or len(stretch.contents) == MAX_CHUNKS:
            stretch = self.stretch = Item(self, self.next_seq, weight)
            self._outbox.put(stretch)
        else:
            stretch.weight += weight
            self._outbox.weigh(self, weight)
        stretch.contents.append(chunk)
        self.next_seq += 1

    def add(self, word: RunWord) -> None:
        """Puts in a message of this run."""
        if self.closed:
            return
        self.stretch = None
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        self._outbox.put(Item(self, seq, MESSAGE_WEIGHT + _length(word), replace(word, seq=seq)))

    def close(self) -> None:
        """Nothing more goes in; doing it twice is harmless."""
        self.closed = True

    def hold(self) -> None:
        """What is said from now on waits; doing it twice is harmless."""
        self.stretch = None
        if self.held_items is None:
            self.held_items = []

    def forget(self) -> None:
        """What was said is not sent any more, and nothing more goes in."""
        self.closed = self.forgotten = True
        self.held_items = None


def released(items: Iterable[Item]) -> Iterator[tuple[Lane, int]]:
    """Takes the items off their lanes' accounts: each lane that is not forgotten, and by how much it is lighter."""
    for item in items:
        lane = item.lane
        if not lane.forgotten:
            lane.items -= 1
            lane.weight -= item.weight
            yield lane, item.weight


def _length(word: RunWord) -> int:
    if isinstance(word, RunReport):
        return len(word.error)
    if isinstance(word, RunMessage):
        return len(word.content)
    return sum(len(key) + len(value) for key, value in word.metadata.items())
