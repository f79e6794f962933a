"""Changes of a case: what goes wrong in most readers of somebody else's bytes, applied at random to real messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

#: What readers stumble over: ends, numbers past every limit, half characters, depth, what means something to others.
WORDS: tuple[bytes, ...] = (
    b"\x00",
    b"\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\n",
    b"\r\n\r\n",
    b'"',
    b"'",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"\xed\xa0\x80",
    "\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
    "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
    b"{",
    b"}",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"9" * 19,
    b"9" * 400,
    b"9" * 5000,
    b"0." + b"3" * 400,
    b"~nobody/",
    b"../../",
    b"%s%n",
    b"<script>",
    b"\x1b[2J",
)

Change = Callable[[bytearray, Random], None]


def _flip(data: bytearray, chance: Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace(data: bytearray, chance: Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, chance: Random) -> None:
    del data[_slice(data, chance)]


def _repeat(data: bytearray, chance: Random) -> None:
    part = _slice(data, chance)
    data[part] = data[part] * chance.choice((2, 3, 50))


def _move(data: bytearray, chance: Random) -> None:
    part = _slice(data, chance)
    moved = data[part]
    del data[part]
    data[_place(data, chance) :] = moved + data[_place(data, chance) :]


def _insert(data: bytearray, chance: Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.choice(WORDS)


def _overwrite(data: bytearray, chance: Random) -> None:
    data[_slice(data, chance)] = chance.choice(WORDS)


def _end(data: bytearray, chance: Random) -> None:
    del data[_place(data, chance) :]


_CHANGES: tuple[Change, ...] = (_flip, _replace, _cut, _repeat, _move, _insert, _insert, _overwrite, _overwrite, _end)


def changed(case: bytes, others: Sequence[bytes], chance: Random, max_bytes: int) -> bytes:
    """The case with one to four changes, perhaps with a part of another in it; at most `max_bytes`."""
    data = bytearray(case)
    if others and chance.random() < 0.2:
        other = bytearray(chance.choice(others))
        data[_slice(data, chance)] = other[_slice(other, chance)]
    for _ in range(chance.randint(1, 4)):
        chance.choice(_CHANGES)(data, chance)
        del data[max_bytes:]
    return bytes(data)


def _place(data: bytearray, chance: Random) -> int:
    return chance.randint(0, len(data))


def _slice(data: bytearray, chance: Random) -> slice:
    """A part: half of the time what stands between two marks, such as a name or a number in a text."""
    begin = _place(data, chance)
    if chance.random() < 0.5:
        end = begin
        while end < len(data) and data[end : end + 1].isalnum():
            end += 1
        while begin and data[begin - 1 : begin].isalnum():
            begin -= 1
        return slice(begin, end)
    return slice(begin, min(len(data), begin + chance.choice((1, 2, 4, 16, 256))))
