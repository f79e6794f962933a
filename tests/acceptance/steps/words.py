"""How the features' sentences are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_bdd import parsers

from taskrun.domain.status import TaskStatus, WorkerStatus
from tests.acceptance.driver import WorkerSetup


@dataclass(frozen=True, slots=True)
class _Place:
    """What may stand in a place of a sentence, and what it means: a type in the sense of the library `parse`."""

    pattern: str
    meaning: Callable[[str], Any]

    def __call__(self, text: str) -> Any:
        return self.meaning(text)


def comma_separated(text: str) -> list[str]:
    """`a, b` as a list; nothing is none."""
    return text.split(", ") if text else []


def labels(text: str) -> dict[str, str]:
    """`a=b, c=d` as a mapping."""
    return dict(pair.split("=", 1) for pair in comma_separated(text))


def rows(datatable: list[list[str]]) -> list[dict[str, str]]:
    """A table with a heading."""
    heading, *lines = datatable
    return [dict(zip(heading, line, strict=True)) for line in lines]


def _setup(phrase: str) -> WorkerSetup:
    agents, worker_labels = [*re.findall(_QUOTED, phrase), '""'][:2]
    slots = re.search(r"(\d+) slots?$", phrase)
    return WorkerSetup(comma_separated(agents[1:-1]), labels(worker_labels[1:-1]), int(slots[1]) if slots else None)


_QUOTED = '"[^"]*"'
_PLACES = {
    "text": _Place(_QUOTED, lambda text: text[1:-1]),
    "names": _Place(_QUOTED, lambda text: comma_separated(text[1:-1])),
    "labels": _Place(_QUOTED, lambda text: labels(text[1:-1])),
    "number": _Place(r"\d+", int),
    "task_status": _Place("|".join(status.value for status in TaskStatus), TaskStatus),
    "worker_status": _Place("|".join(status.value for status in WorkerStatus), WorkerStatus),
    "setup": _Place(rf"agents? {_QUOTED}(?: and the labels {_QUOTED})?(?: and \d+ slots?)?", _setup),
}


def says(sentence: str) -> parsers.parse:
    """A step's sentence. Places are `{name:type}`; the type `text` is something in quotation marks."""
    return parsers.parse(sentence, extra_types=_PLACES, case_sensitive=True)
