"""How the scripted model is spoken to: what a provider's API looks like to the server, which knows none of them.

An API is one module, `..._api.py`, with a row in `scripted_model.APIS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from taskrun.testing.model_scripts import Fail, ModelRequest, Spoken

#: No more than so many characters come at once.
_WORD = re.compile(r"\s*\S{1,65536}|\s+$")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One server-sent event."""

    #: Sent as JSON; a text as it is.
    data: Any
    #: The line `event:`; without one there is none.
    name: str = ""
    #: A piece of the answer's text: a slow model pauses after it.
    is_word: bool = False


class ModelApi(Protocol):
    """One way to ask a model for an answer."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> ModelRequest:
        """What the body asks."""
        ...

    def whole(self, reply: Spoken, request: ModelRequest, number: int) -> Mapping[str, Any]:
        """The answer as one value; `number` is new for each."""
        ...

    def events(self, reply: Spoken, request: ModelRequest, number: int) -> Iterator[StreamEvent]:
        """The answer as a stream. That of a `BreakOff` or a `Stall` ends where it breaks."""
        ...

    def error(self, fail: Fail) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The body of an error, and headers of its own."""
        ...


def words(text: str) -> list[str]:
    """A text in the pieces in which a model gives it."""
    return _WORD.findall(text)


def estimated_tokens(text: str) -> int:
    """About what it costs; never 0."""
    return 1 + len(text) // 4
