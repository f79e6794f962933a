"""What an agent said in one turn, short enough to be kept as one message."""

from __future__ import annotations

#: Characters. Who needs the whole of a longer answer reads the output.
MAX_UTTERANCE = 16 * 1024


class Utterance:
    """Gathers pieces of text, and keeps no more of them than a message may have."""

    __slots__ = ("_left", "_length", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length, self._left = 0, MAX_UTTERANCE

    def add(self, text: str) -> None:
        """The next piece."""
        self._length += len(text)
        if self._left > 0:
            self._pieces.append(text[: self._left])
            self._left -= len(text)

    def settle(self, text: str, length: int) -> None:
        """The agent says itself what its answer was: this text, of an answer of so many characters."""
        self._pieces.clear()
        self._length, self._left = 0, MAX_UTTERANCE
        self.add(text)
        self._length = max(length, self._length)

    def text(self) -> str:
        """All of it; what is too long is cut, and says so."""
        text = "".join(self._pieces)
        return f"{text} ... (cut: it has {self._length} characters)" if self._length > len(text) else text
