"""What a worker's owner says of an agent that is a model and nothing else."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from taskrun.adapters.agents.answer import Answer
from taskrun.adapters.agents.definition import REACHABLE, Duration, Rule
from taskrun.adapters.agents.sessions.definition import SessionDefinition

#: What a request is made of; `body` is for what lies beside it.
_OURS = frozenset({"model", "messages", "input", "instructions", "stream", "stream_options", "store", "n"})

#: RFC 9110, 5.1 and 5.5: a token, and visible characters with blanks between them.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ \t!-~]*[!-~])?")

Body = Annotated[dict[str, Any], msgspec.Meta(description="a table of what is to be sent beside our own")]
Temperature = Annotated[float | None, msgspec.Meta(description="a number")]


class OpenAIDefinition(SessionDefinition, frozen=True, kw_only=True):
    """Adds where the model is and how it is asked."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        REACHABLE,
        (lambda agent: not agent.model, "`model` is missing: the endpoint's name for it."),
        (lambda agent: bool(agent.working_directory), "`working_directory` means nothing to an agent without tools."),
        (lambda agent: agent.max_output_tokens < 0, "`max_output_tokens` must be 0, for no limit, or more."),
        (lambda agent: not isfinite(agent.temperature or 0), "`temperature` must be a number, and no endless one."),
        (lambda agent: not agent.silence > 0, "`silence` must be more than 0."),
        (
            lambda agent: bool(_OURS & agent.body.keys()),
            f"`body` may not have what a request is made of: {', '.join(sorted(_OURS))}.",
        ),
        (lambda agent: not _is_json(agent.body), "`body` holds what JSON cannot say, such as a date or `nan`."),
        (lambda agent: not all(map(_is_header, agent.headers.items())), "`headers` holds what is no header of HTTP."),
    )

    kind: str = "openai"
    api: Annotated[Literal["chat", "responses"], msgspec.Meta(description='"chat" or "responses"')] = "chat"
    #: Who is paid for it, for people and metrics.
    provider: str = "openai"
    model: str = ""
    #: Names of the worker's variables.
    base_url_variable: str = "OPENAI_BASE_URL"
    api_key_variable: str = "OPENAI_API_KEY"
    #: "" = the input is the prompt.
    prompt: str = ""
    system_prompt: str = ""
    answer: Answer = msgspec.field(default_factory=dict)
    #: 0 = the model's own limit.
    max_output_tokens: int = 0
    #: None = the model's own.
    temperature: Temperature = None
    #: Sent beside our own.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: Body = msgspec.field(default_factory=dict)
    #: How long the endpoint may say nothing, before its answer or within it.
    silence: Duration = 60.0


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _is_header(header: tuple[str, str]) -> bool:
    name, value = header
    return bool(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value))
