"""A program's output in lines, however it arrives."""

from __future__ import annotations

from typing import NamedTuple

MAX_LINE_BYTES = 1024 * 1024


class Line(NamedTuple):
    """One line without its end. What is no UTF-8 was replaced by U+FFFD."""

    text: str
    #: The line was longer than the limit; this is its beginning.
    cut: bool = False


class LineSplitter:
    """Takes blocks, gives lines. It never holds more than one line's limit."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._cut = False

    def feed(self, block: bytes) -> list[Line]:
        """The lines that end in this block."""
        lines = []
        *ends, rest = block.split(b"\n")
        for end in ends:
            self._add(end)
            lines.append(self._take())
        self._add(rest)
        return lines

    @property
    def is_cut(self) -> bool:
        """The line that is under way is longer than the limit already."""
        return self._cut

    def finish(self) -> list[Line]:
        """The last line, if it did not end."""
        return [self._take()] if self._line else []

    def _add(self, part: bytes) -> None:
        room = self._limit - len(self._line)
        self._line += part[:room]
        self._cut = self._cut or len(part) > room

    def _take(self) -> Line:
        line = Line(self._line.decode(errors="replace").removesuffix("\r"), self._cut)
        self._line.clear()
        self._cut = False
        return line
