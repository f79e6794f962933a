"""Server-sent events, as far as a model's answer needs them: the `data` of each, whole.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from taskrun.adapters.agents.containment.lines import MAX_LINE_BYTES, LineSplitter


class TooLong(Exception):
    """An event is longer than anything that a model says at once."""


class EventReader:
    """Takes blocks, gives the data of the events that end in them. An event that never ends is none."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._lines = LineSplitter(limit)
        self._data: list[str] = []
        self._size = 0

    def feed(self, block: bytes) -> list[str]:
        """Raises `TooLong`; what comes after that is not to be read."""
        events = []
        for line, is_cut in self._lines.feed(block):
            if is_cut:
                raise TooLong
            if line:
                self._add(line)
            elif self._data:
                events.append("\n".join(self._data))
                self._data, self._size = [], 0
        if self._lines.is_cut:
            raise TooLong
        return events

    def _add(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name != "data":
            return
        self._size += len(value)
        if self._size > self._limit:
            raise TooLong
        self._data.append(value.removeprefix(" "))
