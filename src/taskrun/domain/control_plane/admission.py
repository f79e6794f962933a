"""Whether there may be one more task: who is over a limit hears which one, and until when."""

from __future__ import annotations

from collections.abc import Sequence

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


class Admission:
    """Counts new tasks by the generic cell rate algorithm (ITU-T I.371): an account that was idle has a minute's worth
    at once, and then one each time that a minute's part for it has passed."""

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
                    until = f"try again in {wait:.1f} s"
                    return _refusal(account, "per_minute", f"may create {figure} tasks a minute: {until}")
        return None

    def too_many(self, accounts: Sequence[Account[int]]) -> Refusal | None:
        """The refusal, if one of the accounts has as many waiting tasks as it may."""
        for account in accounts:
            figure = account.limit.waiting
            if figure is not None and account.really_waiting >= figure:
                until = "try again when one of them has begun"
                return _refusal(
                    account, "waiting", f"has {account.really_waiting} of at most {figure} tasks waiting: {until}"
                )
        return None

    def count(self, accounts: Sequence[Account[int]], mono: float) -> None:
        """Each of the accounts has one more."""
        for account in accounts:
            figure = account.limit.per_minute
            if figure is not None:
                if len(self._even) >= self._many:
                    self._forget(mono)
                self._even[account.name] = max(self._even.get(account.name, mono), mono) + _PERIOD / figure

    def _forget(self, mono: float) -> None:
        self._even = {name: even for name, even in self._even.items() if even > mono}
        self._many = max(_MANY, 2 * len(self._even))


def _refusal(account: Account[int], figure: str, what: str) -> Refusal:
    return ResourceExhausted(f"The {account.name} {what}."), TaskRefused(account.name, figure)
