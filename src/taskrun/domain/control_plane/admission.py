"""Whether there may be one more task: who is over a limit hears which one, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter

from taskrun.domain.batch import RateTaken, TurnedAway
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.events import TaskRefused
from taskrun.domain.pacing import Pacing
from taskrun.domain.quotas import AccountName, Figures, Limit
from taskrun.domain.scheduling.accounts import Account

#: Seconds in which an account may use up its figure of new tasks all at once.
_PERIOD = 60.0
#: Sets of accounts of which it is remembered what limits allow them: that changes only with the accounts.
_MANY = 10_000

Refusal = tuple[ResourceExhausted, TaskRefused]

_Figure = Callable[[Limit], int | None]
_PER_MINUTE: _Figure = attrgetter("per_minute")
_WAITING: _Figure = attrgetter("waiting")
_RUNNING: _Figure = attrgetter("running")


class Admission:
    """Counts new tasks: an account that was idle has a minute's worth at once, and then one each time that a minute's
    part for it has passed.

    Where several control planes count together the store does so; then here is what it last said of those that had
    used up all. Nothing gives that back but time, so nobody need be asked before. How many wait may be another number
    each moment, so of that nothing is remembered. What is counted here besides tells only who may be near to a rate.
    """

    def __init__(self, *, shared: bool) -> None:
        """`shared`: several count together."""
        self._pacing: Pacing[AccountName] = Pacing()
        #: What was made here.
        self._made: Pacing[AccountName] = Pacing() if shared else self._pacing

    def too_fast(self, accounts: Sequence[Account[int]], mono: float) -> Refusal | None:
        """The refusal, if one of the accounts has had its new tasks of this minute."""
        for account in accounts:
            figure = account.limit.per_minute
            if figure is not None and (wait := self._pacing.wait(account.name, _leeway(figure), mono)):
                return _too_fast(account.name, figure, wait)
        return None

    def far_from(self, rates: Figures, mono: float) -> bool:
        """Whether there is no sign that half of one of these rates is used up, for all that is known here."""
        pacings = (self._made, self._pacing)
        return not any(each.wait(name, _leeway(figure) / 2, mono) for name, figure in rates for each in pacings)

    def too_many(self, accounts: Sequence[Account[int]]) -> Refusal | None:
        """The refusal, if one of the accounts has as many waiting tasks as it may."""
        for account in accounts:
            figure = account.limit.waiting
            if figure is not None and account.waiting >= figure:
                return _crowded(account.name, figure, account.waiting)
        return None

    def count(self, accounts: Sequence[Account[int]], mono: float) -> None:
        """Each of the accounts has one more."""
        for account in accounts:
            figure = account.limit.per_minute
            if figure is not None:
                self._made.count(account.name, _PERIOD / figure, mono)

    def learn(self, answer: RateTaken, mono: float) -> Refusal:
        """The refusal of those whom the store has granted nothing."""
        name = answer.full
        assert name is not None
        if answer.waiting is not None:
            return _crowded(name, dict(answer.ask.waiting)[name], answer.waiting)
        figure = dict(answer.ask.accounts)[name]
        self._used_up(name, figure, answer.wait, mono)
        return _too_fast(name, figure, answer.wait)

    def heed(self, news: TurnedAway, mono: float) -> None:
        """The store has turned these away: if for a rate, others are refused without it."""
        if news.waiting is None:
            self._used_up(news.account, news.figure, news.wait, mono)

    def _used_up(self, name: AccountName, figure: int, wait: float, mono: float) -> None:
        self._pacing.must_wait(name, wait, _leeway(figure), mono)


@lru_cache(_MANY)
def rates_of(accounts: tuple[Account[int], ...]) -> Figures:
    """Those of them that may have so many new tasks a minute."""
    return _figures(accounts, _PER_MINUTE)


@lru_cache(_MANY)
def room_of(accounts: tuple[Account[int], ...]) -> Figures:
    """Those of them of which so many tasks may wait."""
    return _figures(accounts, _WAITING)


@lru_cache(_MANY)
def slots_of(accounts: tuple[Account[int], ...]) -> Figures:
    """Those of them of which so many tasks may run at once."""
    return _figures(accounts, _RUNNING)


def refusal_of(news: TurnedAway) -> Refusal:
    """What those hear whom the store has turned away."""
    if news.waiting is None:
        return _too_fast(news.account, news.figure, news.wait)
    return _crowded(news.account, news.figure, news.waiting)


def _crowded(name: AccountName, figure: int, waiting: int) -> Refusal:
    until = "try again when one of them has begun"
    return _refusal(name, "waiting", f"has {waiting} of at most {figure} tasks waiting: {until}")


def _figures(accounts: Sequence[Account[int]], of: _Figure) -> Figures:
    figures = [(account.name, of(account.limit)) for account in accounts]
    return tuple([(name, figure) for name, figure in figures if figure is not None])


def _leeway(figure: int) -> float:
    return _PERIOD - _PERIOD / figure


def _too_fast(name: AccountName, figure: int, wait: float) -> Refusal:
    return _refusal(name, "per_minute", f"may create {figure} tasks a minute: try again in {wait:.1f} s")


def _refusal(name: AccountName, figure: str, what: str) -> Refusal:
    return ResourceExhausted(f"The {name} {what}."), TaskRefused(name, figure)
