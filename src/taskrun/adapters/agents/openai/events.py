"""Server-sent events, as far as a model's answer needs them: the `data` of each.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterator

from taskrun.adapters.agents.containment.lines import MAX_LINE_BYTES
from taskrun.adapters.agents.openai import long_events

_DATA = "data:"


class TooLong(Exception):
    """An event is longer than anything that a model says at once, and not for a text in it."""


class EventReader:
    """Takes blocks, gives the data of the events that end in them. Of one with a text longer than the limit it gives
    the parts, each an event: see `long_events`. One that never ends is none."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0

    def feed(self, block: bytes) -> Iterator[str]:
        """Raises `TooLong`; what comes after that is not to be read."""
        *ends, rest = block.split(b"\n")
        for end in ends:
            yield from self._add(end)
            yield from self._end(self._line.decode(errors="replace").removesuffix("\r"))
            self._line.clear()
        yield from self._add(rest)

    def _add(self, words: bytes) -> Iterator[str]:
        for begin in range(0, len(words), self._limit):
            self._line += words[begin : begin + self._limit]
            if len(self._line) > self._limit:
                yield self._parted()

    def _parted(self) -> str:
        """What there is of a line that is too long."""
        whole = _whole_characters(self._line)
        name, _, value = self._line[:whole].decode(errors="replace").partition(":")
        # Half of it may be words before the text: more would hardly become less by being parted.
        parts = long_events.part(value.removeprefix(" "), self._limit // 2) if name == "data" else None
        if parts is None or self._data:
            raise TooLong
        event, rest = parts
        self._line[:whole] = f"{_DATA} {rest}".encode()
        return event

    def _end(self, line: str) -> Iterator[str]:
        if line:
            self._keep(line)
        elif self._data:
            yield "\n".join(self._data)
            self._data, self._size = [], 0

    def _keep(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name != "data":
            return
        self._size += len(value)
        if self._size > self._limit:
            raise TooLong
        self._data.append(value.removeprefix(" "))


def _whole_characters(line: bytearray) -> int:
    """How many bytes of the line there are without a character of UTF-8 that has only begun."""
    for end in range(len(line), max(0, len(line) - 4), -1):
        if line[end - 1] & 0xC0 != 0x80:
            # The character that begins here, if it is one of several bytes, goes on with what comes next.
            return end if line[end - 1] < 0x80 else end - 1
    return len(line)
