"""What a program does before all else: it settles what Ctrl-C does to it, and what becomes of words that nobody takes.

A process that Python has just started turns Ctrl-C into a KeyboardInterrupt wherever it happens to be: in the middle of
an import, say, where it shows as a traceback or as some other error. So the system's own way holds at first, by which
the process ends at once and without a word. A command that has something to put in order asks for the exception.

It imports next to nothing: until it is there, Python's way holds.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import contextmanager

TYPE_CHECKING = False  # the real one would take longer to load than all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any


#: What a person, a service manager or a terminal sends to end something.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begin() -> None:
    """The first thing that a program's `main` does."""
    end_at_ctrl_c()
    _take_streams()


# Ctrl-C.


def end_at_ctrl_c() -> None:
    """From now on Ctrl-C ends this process at once. One that was told to ignore it goes on ignoring it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def ctrl_c_raises(*more: signal.Signals) -> Iterator[None]:
    """Within the block Ctrl-C is a KeyboardInterrupt: the block has something to put in order, or to say.

    So are `more` signals that would end the process at once.
    """
    ending = [number for number in (signal.SIGINT, *more) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ending:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ending:
            # Somebody inside may have had the last word about it.
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def ends_raise() -> Iterator[None]:
    """Like `ctrl_c_raises`, and SIGTERM, and SIGHUP of a terminal that is closed, are the same.

    After the block they are ignored: it ends with what has to be put in order, and then the process ends anyhow.
    """
    heard = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Lets a Ctrl-C wait until the block has ended, and be a KeyboardInterrupt then. A second one does not wait.

    Other signals that are KeyboardInterrupts, as in `ends_raise`, wait too.
    """
    before = {number: signal.getsignal(number) for number in ENDS}
    waiting = [number for number in ENDS if before[number] is signal.default_int_handler]
    if before[signal.SIGINT] is signal.SIG_DFL:
        waiting.append(signal.SIGINT)
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    for number in waiting:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in waiting:
            signal.signal(number, before[number])
    if asked:
        raise KeyboardInterrupt


# The standard streams.


class OutputFailed(Exception):
    """Standard output takes nothing more. It is raised once; what is written after that is dropped without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        #: What the system said: EPIPE if nobody reads any more, ENOSPC ...
        self.number = number


class _Stream(io.TextIOWrapper):
    """A stream that is told once that it failed; its file leads nowhere then.

    The failure is caught on the way out of the library's own streams. Below them an interruption would hit between what
    the system has taken and what is counted as taken, and the same would be written twice.
    """

    def __init__(self, old: Any, number: int, *, raises: bool) -> None:
        if old:
            super().__init__(old.buffer, old.encoding, old.errors, None, old.line_buffering, old.write_through)
        else:
            super().__init__(io.BufferedWriter(io.FileIO(number, "w", closefd=False)), "utf-8", "backslashreplace")
        self._raises = raises
        #: It was closed when the program began.
        self._closed_before = old is None

    def write(self, text: str) -> int:
        try:
            if text and self._closed_before:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            # Nothing is no reason to fail: click writes it to see what kind of stream this is.
            return super().write(text) if text != "" else 0
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._closed_before = False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if self._raises:
            raise OutputFailed(error.errno or errno.EIO) from error


def _take_streams() -> None:
    """Standard output that fails raises `OutputFailed`; a failing standard error loses its words and harms nobody.

    A stream that was closed is one that fails. Its number is taken, so that no socket or file of ours gets it, and with
    it what a library or a child writes there.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = _Stream(sys.stdout, 1, raises=True)
    sys.stderr = _Stream(sys.stderr, 2, raises=False)
