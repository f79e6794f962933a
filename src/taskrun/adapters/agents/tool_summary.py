"""A tool call's input, short, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping

_CHARACTERS = 200


def summary(input: Mapping[str, object]) -> str:
    """Its first text alone, such as a command or a path, says most; without one, its JSON."""
    text = next((value for value in input.values() if isinstance(value, str)), "") or json.dumps(input)
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 4]} ..."
