"""The network: streams between workers and the control plane, and all that a network does to them.

What a gRPC stream (HTTP/2 on TCP) really does, and so what happens here:

- A frame, one message of the transport, arrives late; but the frames of one direction arrive whole, once and in order.
- A stream breaks at any point: what is on its way is lost from some frame on, in each direction by itself.
- Each end notices that at once, after a while, or never: a half-open connection. gRPC's own pings would find it within
  15 s, unless somebody between the two answers them: the cores have timers of their own. Only a worker whose hello was
  never answered has none, since control planes of old answer nothing: that one always notices.
- A line is held: nothing comes through, one way or both, and then all of it, in order (TCP sends again).
- A worker that hung up dials anew while what it said last is still on its way: so what arrives at the control plane is
  late, doubled and out of order *across* the streams of a worker, and never within one.

What no such stream does is to double a frame, or to let one overtake another. In some worlds they do it all the same
(`faults.UNREAL`): the cores must survive a transport that breaks its word. Hellos and ends stay what they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from simulation.process import Process
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.protocol import FromWorker, Hello, ToWorker

if TYPE_CHECKING:
    from simulation.worker import Worker
    from simulation.world import World

#: The end of what a worker says.
END = "end"
UpFrame = Hello | Sequence[FromWorker] | str
DownFrame = Sequence[ToWorker] | TaskRunError
Frame = TypeVar("Frame")

#: Seconds within which who notices a broken stream at all does so.
_NOTICED_WITHIN = (0.0, 0.01, 5.0, 15.0)


class Pipe(Generic[Frame]):
    """One direction of a stream."""

    def __init__(
        self, world: World, receiver: Process, deliver: Callable[[float, Frame], None], numbered: bool = False
    ) -> None:
        """`deliver` gets each frame with the time that was stamped on it. Of what is `numbered` more may be asked than
        that a stream is one."""
        self._world, self._receiver, self._deliver, self._numbered = world, receiver, deliver, numbered
        self._frames: deque[tuple[float, Frame]] = deque()
        self._last_at = 0.0
        self._held_until = 0.0
        #: Frames that have come and are held.
        self._held = 0
        self.broken = False

    def send(self, frame: Frame, stamp: float = 0.0) -> None:
        """Sets the frame on its way."""
        if self.broken:
            return
        self._put(frame, stamp)
        if self._numbered and _is_messages(frame):
            if self._world.happens("frame doubled"):
                self._put(frame, stamp)
            if len(self._frames) > 1 and self._world.happens("frame overtaken"):
                self._overtake()

    def hold(self, until: float) -> None:
        """Nothing arrives before this time; 0 ends that."""
        self._held_until = until
        self._world.agenda.at(until, self._let_go)

    def cut(self) -> None:
        """What is on its way is lost, from some frame on."""
        lost = self._world.chance.randint(0, len(self._frames))
        for _ in range(lost):
            self._frames.pop()
        self._world.count("frame lost", lost)
        self.broken = True

    def _put(self, frame: Frame, stamp: float) -> None:
        world = self._world
        self._last_at = max(self._last_at, world.agenda.time + world.chance.expovariate(1 / world.faults.delay))
        self._frames.append((stamp, frame))
        self._receiver.at(self._last_at, self._arrive)

    def _overtake(self) -> None:
        (_, before), (_, last) = self._frames[-2], self._frames[-1]
        if _is_messages(before) and before is not last:
            self._frames[-1], self._frames[-2] = self._frames[-2], self._frames[-1]

    def _arrive(self) -> None:
        if self._world.agenda.time < self._held_until:
            self._held += 1
        elif self._frames:
            self._deliver(*self._frames.popleft())

    def _let_go(self) -> None:
        if self._world.agenda.time >= self._held_until:
            held, self._held = self._held, 0
            for _ in range(held):
                self._receiver.after(0.0, self._arrive)


class Connection:
    """A stream that a worker opened, in one life of it. Each end lets go of it by itself."""

    def __init__(self, world: World, worker: Worker, life: int) -> None:
        plane = world.plane
        self.worker, self.life, self.plane_life = worker, life, plane.life
        self._world = world
        self.up: Pipe[UpFrame] = Pipe(world, plane, lambda stamp, frame: plane.hear(self, stamp, frame), True)
        self.down: Pipe[DownFrame] = Pipe(world, worker, lambda stamp, frame: worker.hear(self, stamp, frame), True)
        #: The plane's session, once it has one, and what came before that.
        self.session = 0
        #: Whether the worker has heard anything on it.
        self.answered = False
        self.early: list[UpFrame] = []

    @property
    def alive(self) -> bool:
        """Whether either end still has it."""
        plane = self._world.plane
        return self.worker.link is self or (self.plane_life == plane.life and plane.has(self))

    def cut(self) -> None:
        """It breaks. Each end notices in its own time, or never."""
        self.up.cut()
        self.down.cut()
        plane = self._world.plane
        self._notice(plane, plane.miss)
        self._notice(self.worker, self.worker.miss)

    def hold(self, until: float, up: bool, down: bool) -> None:
        """Nothing comes through before this time, in these directions."""
        if up:
            self.up.hold(until)
        if down:
            self.down.hold(until)

    def left_by_worker(self) -> None:
        """The worker is gone: its machine says so, behind what it has said, or is gone too."""
        if self._world.happens_half():
            self.up.send(END)
        else:
            self.up.cut()
            self._notice(self._world.plane, self._world.plane.miss)

    def left_by_plane(self) -> None:
        """The control plane is gone, in the same way."""
        if self._world.happens_half():
            self.down.send(Unavailable("The connection was reset."))
        else:
            self.down.cut()
            self._notice(self.worker, self.worker.miss)

    def _notice(self, end: Process, noticed: Callable[[Connection], None]) -> None:
        if self._world.happens_half() and (end is self._world.plane or self.answered):
            self._world.count("half-open connection")
        else:
            end.after(self._world.chance.uniform(0, self._world.chance.choice(_NOTICED_WITHIN)), noticed, self)


def _is_messages(frame: object) -> bool:
    """And no hello, and no end."""
    return isinstance(frame, list | tuple)
