"""A program in its containment, as the worker holds it."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import PIPE, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from taskrun.adapters.agents.containment.means import SUPERVISOR, containment
from taskrun.adapters.agents.containment.supervisor import adopt
from taskrun.adapters.agents.containment.sweep import is_stopped, sweep
from taskrun.adapters.agents.containment.tail import Tail

BLOCK_BYTES = 64 * 1024

#: Orders to the supervisor.
_TERMINATE, _KILL = b"T", b"K"

#: Seconds from one look at a supervisor that is to kill everything to the next.
_BETWEEN_LOOKS = 0.5


class NotStarted(Exception):
    """The operating system refused a process; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run."""

    argv: tuple[str, ...]
    #: All of its environment.
    environ: Mapping[str, str]
    working_directory: Path
    #: Deleted once nothing of the program is left, also if the worker is gone then. None: somebody else sees to it.
    directory: Path | None
    #: What it reads first.
    input: bytes = b""
    #: It is talked with: its input stays open after that, for `tell`.
    talks: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended."""

    #: As in `subprocess`: negative is the number of the signal that ended it. None: nobody can say.
    code: int | None
    #: Why it did not start, as an `errno`.
    not_started: int = 0
    #: What did not.
    program: str = ""


#: The supervisor itself was killed.
KILLED = Ending(None)


class ContainedProcess:
    """One program under its supervisor. Made by `contained`."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, streams: _Streams, program: Program, grace: float
    ) -> None:
        assert streams.stdin is not None
        assert streams.stdout is not None
        assert streams.stderr is not None
        #: As it was started.
        self.program = program
        #: Seconds from SIGTERM to SIGKILL, if it still runs when it is not wanted any more.
        self.grace = grace
        self._transport = transport
        self._streams = streams
        self._output = streams.stdout
        self._errors = Tail()
        self._error_reader = asyncio.create_task(_keep(streams.stderr, self._errors))
        self._input = streams.stdin
        # At most one input of 1 MiB waits in the pipe's buffer, so that output is read whatever the program reads.
        self._input.write(program.input)
        if not program.talks:
            self.end_input()

    async def output(self) -> AsyncIterator[bytes]:
        """What the program writes to its standard output, as it comes, until its end. Read only as you can use it:
        a program whose output is not read waits."""
        while block := await self._output.read(BLOCK_BYTES):
            yield block

    async def tell(self, words: bytes) -> None:
        """Adds to what a program that `talks` reads, and waits while it leaves more than 64 KiB unread.

        Go on reading its output meanwhile: it may wait for that before it reads. What a program does not read because
        it has closed its input, or has ended, is lost without an error; its output and its ending tell.
        """
        if not self._input.is_closing():
            self._input.write(words)
        try:
            await self._input.drain()
        except ConnectionError:
            pass

    def end_input(self) -> None:
        """The program reads what it was told, and then the end of its input. May be called again."""
        self._input.close()

    async def ending(self) -> Ending:
        """Returns once nothing of the program is left. Read its output first: it may wait for that."""
        await self._streams.exited.wait()
        await asyncio.wait([self._error_reader])
        return self._streams.ending

    def errors(self) -> str:
        """The end of what it wrote to its standard error."""
        return str(self._errors)

    async def stop(self, grace: float) -> None:
        """Ends what is left: asks with SIGTERM, and kills `grace` seconds later. Returns when nothing is left.

        A cancellation meanwhile ends the grace, and is raised when nothing is left.
        """
        stopping = asyncio.create_task(self._stop(grace))
        impatience: asyncio.CancelledError | None = None
        while not stopping.done():
            try:
                await asyncio.shield(stopping)
            except asyncio.CancelledError as error:
                impatience = error
                self._streams.order(_KILL)
        if impatience is not None:
            raise impatience

    async def _stop(self, grace: float) -> None:
        try:
            if not self._streams.exited.is_set():
                discarding = asyncio.create_task(_keep(self._output, Tail()))
                self._streams.order(_TERMINATE)
                try:
                    await asyncio.wait_for(self._streams.exited.wait(), grace)
                except TimeoutError:
                    await self._kill()
                finally:
                    discarding.cancel()
            if self._streams.ending == KILLED:
                await sweep()
        finally:
            self._error_reader.cancel()
            self._transport.close()
            # If nobody could wait for the end: the supervisor takes this for the worker's death.
            self._streams.control.close()

    async def _kill(self) -> None:
        """Has everything killed. In a tree its program may have stopped the supervisor, which is killed itself then."""
        self._streams.order(_KILL)
        while not self._streams.exited.is_set():
            try:
                await asyncio.wait_for(self._streams.exited.wait(), _BETWEEN_LOOKS)
            except TimeoutError:
                if is_stopped(self._transport.get_pid()):
                    self._transport.kill()


@asynccontextmanager
async def contained(program: Program, stop_grace: float, means: str = "") -> AsyncIterator[ContainedProcess]:
    """Runs a program; when the block is left, in whatever way, nothing of it is left.

    If it still runs then, it is stopped: SIGTERM to all its processes, `stop_grace` seconds later SIGKILL. `means` is
    `namespace` or `tree` and by default the strongest that this machine has. Raises `NotStarted` if not even a
    supervisor can be started; a program that cannot be shows as its `Ending`.
    """
    process = await _started(program, means or containment(), stop_grace)
    try:
        yield process
    finally:
        await process.stop(process.grace)


async def _started(program: Program, means: str, grace: float) -> ContainedProcess:
    """Starts it to the end. Broken off in the middle, asyncio would kill the supervisor, who could then end nobody, and
    would wait for as long as anybody holds the program's streams.

    A cancellation meanwhile stops what was started, and is raised when nothing is left.
    """
    starting = asyncio.create_task(_start(program, means, grace))
    impatience: asyncio.CancelledError | None = None
    while not starting.done():
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError as error:
            impatience = error
    if impatience is None:
        return starting.result()
    if starting.exception() is None:
        await starting.result().stop(grace)
    raise impatience


async def _start(program: Program, means: str, grace: float) -> ContainedProcess:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    # What a killed supervisor leaves is to come to this process, where `sweep` finds it.
    adopt()
    try:
        with theirs:
            transport, streams = await loop.subprocess_exec(
                lambda: _Streams(loop, ours, program.argv[0]),
                *SUPERVISOR,
                means,
                str(theirs.fileno()),
                str(program.directory or ""),
                *program.argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=program.environ,
                cwd=program.working_directory,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except BaseException as error:
        ours.close()
        if isinstance(error, OSError):
            raise NotStarted(error.strerror) from error
        raise
    return ContainedProcess(transport, streams, program, grace)


class _Streams(SubprocessStreamProtocol):
    """The way to the supervisor. It tells the exit itself, by `exited`; the pipes are not asked about it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, control: socket.socket, program: str) -> None:
        super().__init__(BLOCK_BYTES, loop)
        self.control = control
        self._program = program
        self.exited = asyncio.Event()
        self.ending = KILLED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._supervisor = transport

    def process_exited(self) -> None:
        super().process_exited()
        self.ending = self._report()
        if self.ending == KILLED:
            # It was killed. Somebody who got away may hold the pipes open for as long as he likes.
            self._supervisor.close()
        self.exited.set()

    def order(self, order: bytes) -> None:
        try:
            self.control.send(order)
        except OSError:
            pass  # the supervisor has ended

    def _report(self) -> Ending:
        try:
            words = self.control.recv(64).split()
        except OSError:
            words = []
        match words:
            case [b"error", number, *_]:
                return Ending(None, int(number), self._program)
            case [b"exit", code]:
                return Ending(int(code))
            case _:
                return KILLED


async def _keep(stream: asyncio.StreamReader, tail: Tail) -> None:
    while block := await stream.read(BLOCK_BYTES):
        tail.feed(block)
