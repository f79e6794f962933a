"""The end of a stream that nobody reads for itself."""

from __future__ import annotations

MAX_TAIL_BYTES = 4096


class Tail:
    """Keeps the last bytes it was given, as text for an error message."""

    def __init__(self, limit: int = MAX_TAIL_BYTES) -> None:
        self._limit = limit
        self._bytes = b""
        self._cut = False

    def feed(self, block: bytes) -> None:
        """Takes in what comes next."""
        kept = self._bytes + block
        self._cut = self._cut or len(kept) > self._limit
        self._bytes = kept[-self._limit :]

    def __str__(self) -> str:
        text = self._bytes.decode(errors="replace").strip()
        return f"... {text}" if self._cut else text
