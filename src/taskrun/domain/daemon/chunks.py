"""Text in the form that can be sent: well-formed UTF-8, in pieces of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator

from taskrun.domain.limits import MAX_CHUNK_BYTES

#: What is left of a text that was too long for its place ends with this.
_CUT = " ..."


def chunks(text: str) -> Iterator[str]:
    """`text` in pieces of at most `MAX_CHUNK_BYTES` of UTF-8, cut between characters; nothing for an empty text.

    Lone surrogates, which UTF-8 cannot express, become "?".
    """
    start = 0
    while start < len(text):
        chunk = _longest(text[start : start + MAX_CHUNK_BYTES])
        start += len(chunk)
        yield chunk


def clipped(text: str, limit: int) -> str:
    """`text` as one chunk of at most `limit` characters, for a place where a longer one has no use."""
    if len(text) > limit:
        text = text[: limit - len(_CUT)] + _CUT
    return text if text.isascii() else text.encode(errors="replace").decode()


def one_line(text: str, limit: int) -> str:
    """The first line of `text` that says something, clipped."""
    return clipped(next((line.strip() for line in text.splitlines() if line.strip()), ""), limit)


def _longest(window: str) -> str:
    """The longest beginning of `window`, itself no longer than `MAX_CHUNK_BYTES` characters, that fits."""
    if window.isascii():
        return window
    # A surrogate is one character before and after; only an incomplete last character is ignored.
    return window.encode(errors="replace")[:MAX_CHUNK_BYTES].decode(errors="ignore")
