"""What limits there are, and between whom the workers' slots are shared: the rows of the configuration, as values.

A limit counts by a *key*: who created a task, which agent it asks for, or what value it has for a label. Without a
value it holds for each value of its key by itself; a limit for one value takes its place there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import check_client_name
from taskrun.domain.limits import check_agent_name, check_labels
from taskrun.domain.records import Requirement, Share, TaskSpec
from taskrun.domain.values import value

CLIENT, AGENT, LABEL = "client", "agent", "label:"
#: Of a caller's name, what says that it is a client.
_ROLE = "client:"
_LABEL_KEY = re.compile(r"label:.{1,63}")
#: What a limit may say, and the most of it.
_FIGURES = {"waiting": 10_000_000, "running": 1_000_000, "per_minute": 1_000_000}
#: Seconds: a step of priority may be worth ten years.
MAX_AGEING = 10 * 365 * 86_400


@value(frozen=True, slots=True)
class Limit:
    """How much there may be of one key's values. None is no limit."""

    #: "client", "agent", or "label:" and a label's key.
    by: str
    #: The one value for which it holds; "" is each by itself.
    value: str = ""
    #: Tasks that wait; one more is refused.
    waiting: int | None = None
    #: Runs at once; what would be one more waits.
    running: int | None = None
    #: New tasks a minute; one more is refused.
    per_minute: int | None = None


class AccountName(NamedTuple):
    """What is counted together: a key and one of its values."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key.replace(LABEL, 'label ')} {self.value}"


#: Accounts, and what a limit allows each.
Figures = tuple[tuple[AccountName, int], ...]


class Policy:
    """The limits in force, and the key between whose values slots are shared."""

    def __init__(self, limits: Iterable[Limit] = (), fair_by: str = "", ageing: int = 0) -> None:
        """`fair_by` is a key, "" for no sharing; `ageing` as in `Task`. Raises `InvalidArgument` for what cannot be."""
        self.limits = tuple(limits)
        self.fair_by, self.ageing = fair_by, ageing
        self._by_name = _checked(self.limits)
        if fair_by:
            _check_key(fair_by, "fair_by")
        if not 0 <= ageing <= MAX_AGEING:
            raise InvalidArgument(f"A step of priority is worth {ageing} s: it must be 0 to {MAX_AGEING} s.")
        keys = dict.fromkeys([*(limit.by for limit in self.limits), fair_by])
        self._labels = tuple(key for key in keys if key.startswith(LABEL))
        self._keys = tuple(dict.fromkeys(limit.by for limit in self.limits))

    def share(self, spec: TaskSpec, created_by: str) -> Share:
        """Whose such a task is: what it keeps. The client is always in it, so that a limit by client can come later."""
        labels = spec.labels
        share = ((CLIENT, created_by.removeprefix(_ROLE)),)
        return share + tuple([(key, labels[key[6:]]) for key in self._labels if key[6:] in labels])

    def party(self, requirement: Requirement) -> str:
        """With whom it has its turns in common: the value of the key by which slots are shared."""
        return _value(self.fair_by, requirement) or "" if self.fair_by else ""

    def accounts(self, requirement: Requirement) -> Iterator[tuple[AccountName, Limit]]:
        """Where its tasks are counted, each with the limit that holds there."""
        for key in self._keys:
            found = _value(key, requirement)
            limit = None if found is None else self._by_name.get((key, found)) or self._by_name.get((key, ""))
            if found is not None and limit is not None:
                yield AccountName(key, found), limit


def _value(key: str, requirement: Requirement) -> str | None:
    if key == AGENT:
        return requirement.agent
    return dict(requirement.share).get(key)


def _checked(limits: Iterable[Limit]) -> dict[tuple[str, str], Limit]:
    by_name: dict[tuple[str, str], Limit] = {}
    for number, limit in enumerate(limits, 1):
        _check_key(limit.by, f"limit no. {number}: `by`")
        _check_value(limit, f"limit no. {number}")
        _check_figures(limit, f"limit no. {number}")
        if (limit.by, limit.value) in by_name:
            whose = f"the value {limit.value!a} of {limit.by}" if limit.value else f"each value of {limit.by}"
            raise InvalidArgument(f"limit no. {number}: there is one for {whose} already.")
        by_name[limit.by, limit.value] = limit
    return by_name


def _check_key(key: str, what: str) -> None:
    if key not in (CLIENT, AGENT) and not _LABEL_KEY.fullmatch(key):
        raise InvalidArgument(f'{what} is {key!a}: it must be "client", "agent" or "label:" and a label\'s key.')


def _check_value(limit: Limit, what: str) -> None:
    """What no client, no agent and no label can be would never count anything."""
    try:
        if limit.by == CLIENT and limit.value:
            _check_client(limit.value)
        if limit.by == AGENT and limit.value:
            check_agent_name(limit.value)
        if limit.by.startswith(LABEL):
            check_labels({limit.by.removeprefix(LABEL): limit.value})
    except InvalidArgument as error:
        raise InvalidArgument(f"{what}: {error.message}") from error


def _check_client(name: str) -> None:
    try:
        check_client_name(name)
    except InvalidArgument as error:
        hint = f" Is {name.removeprefix(_ROLE)!a} meant?" if name.startswith(_ROLE) else ""
        raise InvalidArgument(f"{name!a} is no client's name.{hint} {error.message}") from error


def _check_figures(limit: Limit, what: str) -> None:
    figures = {name: getattr(limit, name) for name in _FIGURES}
    if all(figure is None for figure in figures.values()):
        raise InvalidArgument(f"{what} limits nothing: give it `waiting`, `running` or `per_minute`.")
    for name, figure in figures.items():
        least = 1 if name == "per_minute" else 0
        if figure is not None and not least <= figure <= _FIGURES[name]:
            raise InvalidArgument(f"{what}: `{name}` is {figure}: it must be {least} to {_FIGURES[name]}.")


#: No limits, and whoever came first goes first.
FREE = Policy()
