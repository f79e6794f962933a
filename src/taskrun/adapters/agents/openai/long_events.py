"""An event that is longer than is to be held, given in parts.

What makes an event long is one text in it. Its beginning, closed behind what there is of that text, is an event by
itself, and so is the rest with the same words before it: to an answer that adds up deltas it comes to the same.
"""

from __future__ import annotations

import re

#: A text of JSON; the last one may not have ended yet.
_TEXT = re.compile(r'"(?P<what>(?:[^"\\]++|\\.)*+)"?', re.DOTALL)
#: What may not be parted: the first half of a surrogate pair, and an escape that has only begun.
_UNFINISHED = re.compile(r"(?<!\\)(?:\\\\)*+(?P<it>(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?)\Z")
#: Characters at the end of a text in which there may be something unfinished.
_TAIL = 4096
_CLOSED_BY = {"{": "}", "[": "]"}


def part(event: str, most: int) -> tuple[str, str] | None:
    """The beginning of an event: as a whole one with what there is of its longest text, and as the beginning of the
    rest. None if that would be longer than `most` characters."""
    text = max(_TEXT.finditer(event), key=lambda text: len(text["what"]), default=None)
    if text is None:
        return None
    begin, end = text.start("what"), _end(event, text.end("what"))
    rest = event[:begin] + event[end:]
    return (f'{event[:end]}"{_closing(event[: begin - 1])}', rest) if len(rest) <= most else None


def _end(event: str, end: int) -> int:
    """Up to where a text that goes as far as this is whole."""
    if end < len(event):
        return end
    tail = _UNFINISHED.search(event, max(0, end - _TAIL))
    return tail.start("it") if tail else end


def _closing(event: str) -> str:
    """What closes all that is open at the end of this beginning, which is in no text."""
    open: list[str] = []
    for bracket in re.findall(r"[{}\[\]]", _TEXT.sub("", event)):
        if bracket in _CLOSED_BY:
            open.append(_CLOSED_BY[bracket])
        elif open:
            open.pop()
    return "".join(reversed(open))
