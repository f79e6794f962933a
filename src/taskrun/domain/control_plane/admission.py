"""Whether there may be one more task: who is over a limit hears which one, and until when."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.batch import RateTaken
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.events import TaskRefused
from taskrun.domain.quotas import AccountName
from taskrun.domain.scheduling.accounts import Account

#: Seconds in which an account may use up its figure of new tasks all at once.
_PERIOD = 60.0
#: Accounts of which it is known when they may go on; those that may are forgotten when there are more, or twice as many
#: as last stayed.
_MANY = 4096

Refusal = tuple[ResourceExhausted, TaskRefused]
#: Accounts, and how many new tasks a minute each may have.
Rates = tuple[tuple[AccountName, int], ...]


class Admission:
    """Counts new tasks by the generic cell rate algorithm (ITU-T I.371): an account that was idle has a minute's worth
    at once, and then one each time that a minute's part for it has passed.

    Where several control planes count together the store does so; then here is what it last said of those that had
    used up all. Nothing gives that back but time, so nobody need be asked before.
    """

    def __init__(self) -> None:
        #: When the account would have used up all it was given, had it come evenly; seconds, monotonic.
        self._even: dict[AccountName, float] = {}
        self._many = _MANY

    def too_fast(self, accounts: Sequence[Account[int]], mono: float) -> Refusal | None:
        """The refusal, if one of the accounts has had its new tasks of this minute."""
        for account in accounts:
            figure = account.limit.per_minute
            if figure is not None:
                wait = self._even.get(account.name, mono) - mono - (_PERIOD - _PERIOD / figure)
                # Less than a microsecond is what the arithmetic made of it.
                if wait > 1e-6:
                    return _too_fast(account.name, figure, wait)
        return None

    def too_many(self, accounts: Sequence[Account[int]]) -> Refusal | None:
        """The refusal, if one of the accounts has as many waiting tasks as it may."""
        for account in accounts:
            figure = account.limit.waiting
            if figure is not None and (waiting := account.really_waiting) >= figure:
                until = "try again when one of them has begun"
                return _refusal(account.name, "waiting", f"has {waiting} of at most {figure} tasks waiting: {until}")
        return None

    def count(self, accounts: Sequence[Account[int]], mono: float) -> None:
        """Each of the accounts has one more."""
        for account in accounts:
            figure = account.limit.per_minute
            if figure is not None:
                self._note(account.name, max(self._even.get(account.name, mono), mono) + _PERIOD / figure, mono)

    def learn(self, answer: RateTaken, mono: float) -> Refusal:
        """The refusal of those whom the store has granted nothing."""
        name = answer.full
        assert name is not None
        figure = dict(answer.ask.accounts)[name]
        self._note(name, mono + answer.wait + _PERIOD - _PERIOD / figure, mono)
        return _too_fast(name, figure, answer.wait)

    def _note(self, name: AccountName, even: float, mono: float) -> None:
        if len(self._even) >= self._many:
            self._even = {name: even for name, even in self._even.items() if even > mono}
            self._many = max(_MANY, 2 * len(self._even))
        self._even[name] = even


def rates_of(accounts: Sequence[Account[int]]) -> Rates:
    """Those of them that may have so many new tasks a minute."""
    figures = [(account.name, account.limit.per_minute) for account in accounts]
    return tuple([(name, figure) for name, figure in figures if figure is not None])


def _too_fast(name: AccountName, figure: int, wait: float) -> Refusal:
    return _refusal(name, "per_minute", f"may create {figure} tasks a minute: try again in {wait:.1f} s")


def _refusal(name: AccountName, figure: str, what: str) -> Refusal:
    return ResourceExhausted(f"The {name} {what}."), TaskRefused(name, figure)
