"""The answer of an agent that promises a JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

#: For each key that the answer has, the values it may have; none named = any text.
AnswerForm = Mapping[str, Sequence[str]]
#: The same as a key of worker.toml.
Answer = Annotated[
    dict[str, tuple[str, ...]],
    msgspec.Meta(description='a table of lists of texts, such as { priority = ["low", "high"], summary = [] }'),
]

#: What is wrong with an answer of which not all was kept.
TOO_LONG = "The answer is too long to be what was promised."


def flaw(text: str, form: AnswerForm) -> str:
    """What is wrong with the answer, for people; "" if nothing is."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return "The answer is no JSON."
    if not isinstance(answer, dict):
        return "The answer is no JSON object."
    for key, values in form.items():
        value = answer.get(key)
        if not isinstance(value, str):
            return f"The answer has no text for {key!r}."
        if values and value not in values:
            return f"The answer's {key!r} is none of: {', '.join(values)}."
    return ""
