"""What a worker has to say: what is not sent yet, and what is sent but not known to be stored.

What gathers while the last write is under way is sent in one go: natural batching, without a timer. Output of one run
that no other message of that run interrupts becomes one segment, wherever the messages of other runs lie: order is kept
within a run, and across runs nobody can tell. The outbox is bounded: at `CAPACITY` the agents have to wait. Nothing is
dropped for want of room.

Where the control plane lets runs outlive a stream, everything said of a run is numbered and kept until it is stored.
When the stream breaks all runs are held; on the next stream the control plane says for each where to go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from taskrun.domain.daemon.lane import Item, Lane, released
from taskrun.domain.protocol import KEPT_AT_MOST, FromWorker, Heartbeat, LiveRun

#: Bytes: 4 MiB of text, or 16,384 small chunks.
CAPACITY = KEPT_AT_MOST
#: Reports of runs are let in above the capacity, since there are few for each run. With more than this unsent nothing
#: is read: the control plane says more than it listens to. What agents say alone never gets there, so that a run can
#: be cancelled also while the transport takes nothing.
FLOOD = CAPACITY + 1024 * 1024


class _Parcel:
    """What was taken at once."""

    __slots__ = ("items", "through")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        #: How many messages the transport had sent on its stream with the last of these, once that is known.
        self.through: int | None = None


class Outbox:
    """Gathers messages until they are taken, all at once, and keeps them until they are stored."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._unsent: list[Item] = []
        self._sent: deque[_Parcel] = deque()
        self._on_the_way: _Parcel | None = None
        self._heartbeat: Heartbeat | None = None
        self._messages = 0
        self._stored = 0
        #: Whether the control plane says what it has stored. If not, what is taken is as good as stored. See `keep`.
        self.keeps = False
        #: Of everything in here, and of what is not sent yet. In bytes.
        self.weight = 0
        self.unsent_weight = 0

    def __bool__(self) -> bool:
        """Whether there is something to send."""
        return bool(self._unsent) or self._heartbeat is not None

    def __contains__(self, run_id: str) -> bool:
        """Whether something said of this run is not stored yet, or more may come."""
        return run_id in self._lanes

    @property
    def full(self) -> bool:
        """Agents have to wait."""
        return self.weight >= CAPACITY

    @property
    def flooded(self) -> bool:
        """The control plane has to wait."""
        return self.unsent_weight >= FLOOD

    @property
    def settled(self) -> bool:
        """Whether everything that was said is stored, or nobody is left to hear it."""
        return not any(lane.items for lane in self._lanes.values())

    def live_runs(self) -> tuple[LiveRun, ...]:
        """The runs that are not over and stored, for the hello of a new stream."""
        return tuple(LiveRun(run_id, lane.next_seq) for run_id, lane in self._lanes.items())

    def held(self) -> list[str]:
        """The runs of which nothing is sent before the control plane says where to go on."""
        return [run_id for run_id, lane in self._lanes.items() if lane.held]

    # What is said.

    def lane(self, run_id: str) -> Lane:
        """The way in for a run that begins. A run has one."""
        lane = self._lanes[run_id] = Lane(self, run_id)
        return lane

    def beat(self, heartbeat: Heartbeat) -> None:
        """Puts in a heartbeat, in place of one that has not left yet."""
        self._heartbeat = heartbeat

    def put(self, item: Item) -> None:
        """Takes in what a lane has to say; it weighs what it does by then."""
        lane = item.lane
        lane.items += 1
        (self._held_items(lane) if lane.held else self._unsent).append(item)
        self.weigh(lane, item.weight)

    def weigh(self, lane: Lane, weight: int) -> None:
        """So much more of the lane's is in here."""
        lane.weight += weight
        self.weight += weight
        if not lane.held:
            self.unsent_weight += weight

    # What is sent.

    def take(self) -> Sequence[FromWorker]:
        """Takes out all that is unsent, oldest first; the heartbeat is last: its ack speaks for all before it."""
        items = [item for item in self._unsent if not item.lane.forgotten]
        self._unsent = []
        self.unsent_weight = 0
        messages: list[FromWorker] = [item.message() for item in items]
        if not self.keeps:
            self._release(items)
        elif items:
            self._on_the_way = _Parcel(items)
            self._sent.append(self._on_the_way)
        if self._heartbeat is not None:
            messages.append(self._heartbeat)
            self._heartbeat = None
        return messages

    def sent(self, messages: int) -> None:
        """What was last taken is sent, with so many messages of the transport."""
        self._messages += messages
        if self._on_the_way is not None:
            self._on_the_way.through = self._messages
            self._on_the_way = None
            self._release_stored()

    def keep(self, keeps: bool) -> None:
        """Whether what is sent is kept from now on until it is stored."""
        self.keeps = keeps
        if not keeps:
            self._on_the_way = None
            while self._sent:
                self._release(self._sent.popleft().items)

    def stored(self, messages: int) -> None:
        """The control plane has stored what came with so many messages of this stream."""
        self._stored = max(self._stored, messages)
        self._release_stored()

    # Streams that break.

    def hold(self) -> None:
        """The stream is gone: nothing of these runs is sent before `go_on`. Where nothing is kept, nobody will ask."""
        items = [item for parcel in self._sent for item in parcel.items] + self._unsent
        self._sent.clear()
        self._unsent = []
        self._on_the_way = self._heartbeat = None
        self._messages = self._stored = self.unsent_weight = 0
        for lane in self._lanes.values():
            lane.hold()
        for item in items:
            if not item.lane.forgotten:
                self._held_items(item.lane).append(item)

    def go_on(self, run_id: str, from_seq: int) -> bool:
        """Sends again what the run said from this number on. False if that is not here any more."""
        lane = self._lanes.get(run_id)
        if lane is None:
            return False
        if not lane.held:
            self._call_back(lane)
        items, lane.held_items = self._held_items(lane), None
        rest = [item for item in items if item.end > from_seq]
        self._release(items[: len(items) - len(rest)])
        first = rest[0].seq if rest else lane.next_seq
        # Of a run that is over the last word is its end: who asks for what comes after it has not heard that.
        unheard_end = lane.closed and not rest
        if unheard_end or not first <= from_seq <= lane.next_seq:
            lane.held_items = rest
            return False
        if rest:
            rest[0].skip_to(from_seq)
        self._unsent += rest
        self.unsent_weight += sum(item.weight for item in rest)
        return True

    def begin_again(self, run_id: str, seq: int) -> Lane:
        """Forgets what was said of the run, and gives it a way in whose next number is `seq`."""
        self.forget(run_id)
        lane = self.lane(run_id)
        lane.next_seq = seq
        return lane

    def forget(self, run_id: str) -> None:
        """Nobody wants to hear of this run any more; harmless if it is not here."""
        lane = self._lanes.pop(run_id, None)
        if lane is not None:
            lane.forget()
            self.weight -= lane.weight

    # Inside.

    def _call_back(self, lane: Lane) -> None:
        """Takes back what the lane has said on this stream, to say it again."""
        lane.hold()
        for parcel in self._sent:
            parcel.items = self._without(parcel.items, lane)
        self._unsent = self._without(self._unsent, lane)
        self.unsent_weight = sum(item.weight for item in self._unsent)

    def _without(self, items: list[Item], lane: Lane) -> list[Item]:
        self._held_items(lane).extend(item for item in items if item.lane is lane)
        return [item for item in items if item.lane is not lane]

    def _held_items(self, lane: Lane) -> list[Item]:
        assert lane.held_items is not None
        return lane.held_items

    def _release_stored(self) -> None:
        sent = self._sent
        while sent and sent[0].through is not None and sent[0].through <= self._stored:
            self._release(sent.popleft().items)

    def _release(self, items: Iterable[Item]) -> None:
        """These are stored."""
        for lane, weight in released(items):
            self.weight -= weight
            if lane.closed and not lane.items:
                self._lanes.pop(lane.run_id, None)
