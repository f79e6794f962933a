"""A program that plays the acts of the agents' contract, for kinds of agents that are programs.

    python -m taskrun.testing.actor VOICE ACT [DIRECTORY]

VOICE is how it speaks: `plain` = its text on standard output, and its exit code for its success. ACT is the name of an
`Act`. DIRECTORY is where its sessions are kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    FLOOD_BYTES,
    LONG_LINE_BYTES,
    LOOK,
    NASTY,
    PIECES,
    READY,
    REASON,
    Act,
)

_BLOCK = "x" * 32 * 1024


class Voice(Protocol):
    """How a program tells things."""

    def say(self, text: str) -> None:
        """A piece of output, at once."""

    def succeed(self) -> None:
        """It went well. Nothing comes after it."""

    def fail(self, kind: str, reason: str) -> NoReturn:
        """It did not, and is over. `kind` is the word for a failure on the wire."""


class PlainVoice:
    """Implements `Voice` for a program that knows of nothing."""

    def say(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def succeed(self) -> None:
        """An exit code of 0 says it."""

    def fail(self, kind: str, reason: str) -> NoReturn:
        sys.exit(reason)


def write(data: bytes) -> None:
    """Bytes as they are, on standard output."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def stream(voice: Voice) -> None:
    """See `Act.STREAM`."""
    for piece in PIECES:
        voice.say(piece)
    voice.succeed()


def long_line(voice: Voice) -> None:
    """See `Act.LONG_LINE`."""
    voice.say(BEFORE)
    write(b"x" * LONG_LINE_BYTES + b"\n")
    voice.say(AFTER)
    voice.succeed()


def not_utf8(voice: Voice) -> None:
    """See `Act.NOT_UTF8`."""
    voice.say(BEFORE)
    write(b"\xff\xfe\xc3(\n")
    voice.say(AFTER)
    voice.succeed()


def flood(voice: Voice) -> None:
    """See `Act.FLOOD`."""
    for _ in range(FLOOD_BYTES // len(_BLOCK)):
        voice.say(_BLOCK)
    voice.succeed()


def hang(voice: Voice) -> None:
    """See `Act.HANG`."""
    voice.say(READY)
    while True:
        time.sleep(1000)


def nasty(voice: Voice) -> None:
    """See `Act.NASTY`."""
    voice.say(READY)
    os.execvp("sh", ["sh", "-c", NASTY])


def look(voice: Voice) -> None:
    """See `Act.LOOK`."""
    voice.say(subprocess.run(["sh", "-c", LOOK], capture_output=True, text=True, check=True).stdout)
    voice.succeed()


ACTS: dict[Act, Callable[[Voice], None]] = {
    Act.STREAM: stream,
    Act.FAIL: lambda voice: voice.fail("agent_error", REASON),
    Act.LONG_LINE: long_line,
    Act.NOT_UTF8: not_utf8,
    Act.FLOOD: flood,
    Act.TIME_OUT: hang,
    Act.HANG: hang,
    Act.NASTY: nasty,
    Act.LOOK: look,
}


def main(voice: str, act: str, *_: str) -> None:
    """What the command line asks for."""
    voices: dict[str, Callable[[], Voice]] = {"plain": PlainVoice}
    ACTS[Act[act]](voices[voice]())


if __name__ == "__main__":
    main(*sys.argv[1:])
