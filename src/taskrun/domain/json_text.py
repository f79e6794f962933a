"""Whether a text is JSON that every program reads in the same way."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from taskrun.domain.errors import InvalidArgument

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_ROUND_UP = str.maketrans("{}", "[]")


class _Refused(Exception):
    """Carries what is wrong out of the decoder's hooks."""


def check_json_text(text: str, what: str, max_bytes: int, max_depth: int) -> None:
    """Raises `InvalidArgument`, calling the text `what`, unless it is valid JSON of at most that size and depth.

    NaN and Infinity, keys named twice in one object, and lone surrogates, escaped or not, are refused too.
    """
    size = len(text) if text.isascii() or len(text) > max_bytes else len(_encoded(text, what))
    if size > max_bytes:
        raise InvalidArgument(f"{what} is too long: at most {max_bytes} bytes are allowed.")
    try:
        value = _DECODE(text)
    except RecursionError:
        raise _too_deep(what, max_depth) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidArgument(f"{what} is not valid JSON: {error.msg} at {place}.") from None
    except _Refused as error:
        raise InvalidArgument(f"{what} {error}") from None
    # The cheap tests come first: most texts are known to be flat, and free of escapes, without the exact ones.
    if text.count("[") + text.count("{") > max_depth and _depth_exceeds(text, max_depth):
        raise _too_deep(what, max_depth)
    if "\\u" in text:
        _encoded(json.dumps(value, ensure_ascii=False), what)


def _encoded(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{what} holds half of a surrogate pair: it is no Unicode text.") from None


def _too_deep(what: str, max_depth: int) -> InvalidArgument:
    return InvalidArgument(f"{what} is nested too deeply: at most {max_depth} levels are allowed.")


def _depth_exceeds(text: str, max_depth: int) -> bool:
    """Whether the text, which is valid JSON, has more levels. Each pass takes the innermost level away."""
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text)).translate(_ROUND_UP)
    for _ in range(max_depth):
        brackets = brackets.replace("[]", "")
        if not brackets:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _Refused(f"names the key {twice[:64]!a} twice in one object: each may come once.")
    return members


def _constant(name: str) -> NoReturn:
    raise _Refused(f"holds {name}: that is no JSON number.")


# Numbers are recognised, not converted: that is faster, and no number is too long.
_DECODE = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=bool, parse_float=bool).decode
