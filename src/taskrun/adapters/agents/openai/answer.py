"""A model's answer while it is read, whichever API it comes by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskrun.adapters.agents.loose import mapping, number
from taskrun.domain.records import Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Thought

#: A piece of the answer, or of what was thought before it.
Piece = str | Thought


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, in the model's own word. Without a failure it is whole."""

    failure: FailureKind | None = None
    error: str = ""


WHOLE = Ending()
CUT_BY_LIMIT = Ending(FailureKind.LIMIT_REACHED, "The answer was cut: the limit of output tokens was reached.")
FILTERED = Ending(FailureKind.REFUSED, "The endpoint's content filter stopped the answer.")
REFUSED = Ending(FailureKind.REFUSED, "The model refused.")
WANTS_TOOL = Ending(FailureKind.BAD_OUTPUT, "The model asked for a tool, and this agent has none.")


class Answer(ABC):
    """Reads the events of one stream. What it does not know is of no interest."""

    def __init__(self) -> None:
        #: None as long as the model did not say that it is done.
        self.ending: Ending | None = None
        #: As the endpoint calls it.
        self.model = ""
        #: None as long as it was not told.
        self.usage: Usage | None = None

    @abstractmethod
    def read(self, event: Mapping[str, Any]) -> Sequence[Piece]:
        """What this event adds to it. Raises `CallFailed` for one that tells an error."""


def usage_of(told: Mapping[str, Any], names: tuple[str, str]) -> Usage:
    """What was consumed, as a stream tells it under these names.

    The APIs count as input, too, what a cache gave or took; TaskRun counts it by itself. What was thought is output.
    """
    asked, answered = names
    details = mapping(told.get(f"{asked}_details"))
    cached, written = number(details.get("cached_tokens")), number(details.get("cache_write_tokens"))
    uncached = max(0, number(told.get(asked)) - cached - written)
    return Usage(uncached, number(told.get(answered)), cached, written)
