"""A task's input as text, by itself and inside a prompt template."""

from __future__ import annotations

import json
import re
from typing import Any

from taskrun.adapters.agents.execution import CannotRun
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest

_PLACE = re.compile(r"\{input(?:\.(?P<key>[A-Za-z0-9_-]+))?\}")


#: The template of a definition that has none.
_INPUT = "{input}"

_NOTHING_ASKED = "The prompt is empty: this agent needs an input that says what to do."


def input_text(input_json: str) -> str:
    """A JSON string is its text; anything else stays as it was written."""
    value = input_value(input_json)
    return value if isinstance(value, str) else input_json


def render(template: str, input_json: str) -> str:
    """The template with `{input}` replaced by the input's text and `{input.key}` by that of its value for `key`.

    Nothing else is replaced, and what was put in is not looked at again. Raises `InvalidArgument` if the input is no
    object with such a key.
    """
    value = input_value(input_json)

    def fill(place: re.Match[str]) -> str:
        key = place["key"]
        if key is None:
            return value if isinstance(value, str) else input_json
        if not isinstance(value, dict) or key not in value:
            raise InvalidArgument(f"This agent needs an input that is an object with the key {key!r}.")
        return _as_text(value[key])

    return _PLACE.sub(fill, template)


def prompt_for(template: str, request: AgentRequest) -> str:
    """What a model is asked: the template filled, or without one the input's text. In a session that goes on it is the
    text too: what the template says was said in the first turn, and a message need not fill it.

    Raises `CannotRun` if the input lacks what the template needs, or if nothing is asked.
    """
    try:
        prompt = render(_INPUT if request.session_id else template or _INPUT, request.input_json)
    except InvalidArgument as error:
        raise CannotRun(FailureKind.AGENT_ERROR, error.message) from error
    if not prompt.strip():
        raise CannotRun(FailureKind.AGENT_ERROR, _NOTHING_ASKED)
    return prompt


def input_value(input_json: str) -> Any:
    """What the JSON says. An old control plane lets any text pass for it."""
    try:
        return json.loads(input_json)
    except (ValueError, RecursionError):
        return input_json


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
