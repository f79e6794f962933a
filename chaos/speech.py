"""What an agent says for a task, known beforehand to the last byte, and the ear that compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

#: Characters shown of what was said and of what should have been.
_SHOWN = 40
#: A line longer than this is put together from pieces.
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Speech:
    """So many numbered lines, each padded by `width` dots, `pause` seconds after one another."""

    number: int
    lines: int
    width: int = 0
    pause: float = 0.0

    @staticmethod
    def parse(text: str) -> Speech:
        """The speech that a task's input asks for. An agent that is a shell script reads the same."""
        number, lines, width, pause = text.split()
        return Speech(int(number), int(lines), int(width), float(pause))

    def __str__(self) -> str:
        return f"{self.number} {self.lines} {self.width} {self.pause:g}"

    def line(self, index: int) -> str:
        return f"{self.number}:{index}:{'.' * self.width}\n"

    def pieces(self) -> Iterator[str]:
        """All of it, in pieces of a bounded size."""
        for index in range(self.lines):
            line = self.line(index)
            for start in range(0, len(line), _PIECE):
                yield line[start : start + _PIECE]

    def digest(self) -> str:
        """The SHA-256 of all of it."""
        hashed = sha256()
        for piece in self.pieces():
            hashed.update(piece.encode())
        return hashed.hexdigest()


class Ear:
    """Hears what a run said, piece by piece, and notes where it first strays from the speech."""

    def __init__(self, speech: Speech) -> None:
        self._expected = speech.pieces()
        self._ahead = ""
        self._hashed = sha256()
        self.chars = 0
        #: The beginning of the line that is being said.
        self._line = ""
        #: Where; the line that was said there, and the one that should have been. None as long as all is as it should.
        self.stray: tuple[int, str, str] | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of what was heard."""
        return self._hashed.hexdigest()

    def hear(self, text: str) -> None:
        self._hashed.update(text.encode())
        if self.stray is None:
            self._compare(text)
        self.chars += len(text)

    def _compare(self, text: str) -> None:
        while len(self._ahead) < len(text) and (piece := next(self._expected, "")):
            self._ahead += piece
        expected, self._ahead = self._ahead[: len(text)], self._ahead[len(text) :]
        if expected == text:
            self._line = (self._line + text).rpartition("\n")[2][:_SHOWN]
        else:
            at = next((i for i, (a, b) in enumerate(zip(text, expected, strict=False)) if a != b), len(expected))
            begun = (self._line + text[:at]).rpartition("\n")[2][:_SHOWN]
            self.stray = (self.chars + at, begun + text[at : at + _SHOWN], begun + expected[at : at + _SHOWN])
