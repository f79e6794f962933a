"""All the lines that are known, and what they have in common: needs, parties and accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic

from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import Requirement
from taskrun.domain.scheduling.accounts import Account
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.needs import Need, WaitingLine
from taskrun.domain.scheduling.turns import Crowd, Party, TurnClock, Turns

#: Lines in which nobody waits are forgotten when more than this many are known, or twice as many as last stayed.
_MANY_LINES = 4096


class Lines(Generic[Key]):
    """Makes lines when they are first asked for, and forgets them when there are many."""

    def __init__(
        self, policy: Policy, opened: Callable[[Need[Key]], None], closed: Callable[[Need[Key]], None]
    ) -> None:
        """`opened` and `closed` are called for each need that comes and goes."""
        self.policy = policy
        self._opened, self._closed = opened, closed
        self._clock = TurnClock()
        self._lines: dict[Requirement, WaitingLine[Key]] = {}
        self._needs: dict[Requirement, Need[Key]] = {}
        self._parties: dict[str, Party] = {}
        self._crowds: dict[tuple[str, tuple[AccountName, ...]], Crowd] = {}
        self._accounts: dict[AccountName, Account[Key]] = {}
        #: By key, how many tasks that wait are held by a full account.
        self.held = Counter[str]()
        self._made = 0
        self._many = _MANY_LINES

    def __iter__(self) -> Iterator[WaitingLine[Key]]:
        return iter(self._lines.values())

    def __len__(self) -> int:
        return len(self._lines)

    def find(self, requirement: Requirement) -> WaitingLine[Key] | None:
        """The line, if it is known."""
        return self._lines.get(requirement)

    def of(self, requirement: Requirement) -> WaitingLine[Key]:
        """The line, a new one if it is not known."""
        line = self._lines.get(requirement)
        if line is None:
            if len(self._lines) >= self._many:
                self._forget_idle()
            line = self._make(requirement)
        return line

    def account(self, name: AccountName) -> Account[Key] | None:
        """The account, if a line has it."""
        return self._accounts.get(name)

    def accounts(self) -> Iterator[Account[Key]]:
        """All that a line has."""
        return iter(self._accounts.values())

    def rule(self, policy: Policy) -> None:
        """From now on this holds: everybody stands in their line as before, and is counted anew."""
        self.policy = policy
        old = list(self._lines.values())
        self.held.clear()
        self._forget(old)
        for line in old:
            again = self.of(line.requirement)
            again.change(waiting=line.waiting, promised=line.promised)
            again.run(line.running + line.promised)
            again.running = line.running

    def _make(self, requirement: Requirement) -> WaitingLine[Key]:
        need = self._need(Requirement(requirement.agent, requirement.selector))
        accounts = tuple([self._account(name, limit) for name, limit in self.policy.accounts(requirement)])
        self._made += 1
        crowd = self._crowd(self.policy.party(requirement), accounts)
        line = self._lines[requirement] = WaitingLine(requirement, need, crowd, self._made, accounts)
        need.lines[line] = None
        crowd.lines.setdefault(need, {})[line] = None
        for account in accounts:
            account.lines += 1
        return line

    def _need(self, requirement: Requirement) -> Need[Key]:
        need = self._needs.get(requirement)
        if need is None:
            need = self._needs[requirement] = Need(requirement)
            self._opened(need)
        return need

    def _account(self, name: AccountName, limit: Limit) -> Account[Key]:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(name, limit, self.held)
        return account

    def _crowd(self, party: str, accounts: tuple[Account[Key], ...]) -> Crowd:
        holding = tuple([account for account in accounts if account.limit.running is not None])
        key = (party, tuple([account.name for account in holding]))
        crowd = self._crowds.get(key)
        if crowd is None:
            whole = self._parties.get(party)
            if whole is None:
                whole = self._parties[party] = Party(Turns(self._clock), self._made)
            crowd = self._crowds[key] = Crowd(whole, Turns(whole.within), holding)
        return crowd

    def _forget_idle(self) -> None:
        self._forget([line for line in self._lines.values() if line.idle])
        self._many = max(_MANY_LINES, 2 * len(self._lines))

    def _forget(self, lines: list[WaitingLine[Key]]) -> None:
        for line in lines:
            del self._lines[line.requirement], line.need.lines[line], line.crowd.lines[line.need][line]
            if not line.crowd.lines[line.need]:
                del line.crowd.lines[line.need]
            for account in line.accounts:
                account.lines -= 1
            if not line.need.lines:
                del self._needs[line.need.requirement]
                self._closed(line.need)
        self._crowds = {key: crowd for key, crowd in self._crowds.items() if crowd.lines}
        self._parties = {party: self._parties[party] for party, _ in self._crowds}
        self._accounts = {name: account for name, account in self._accounts.items() if account.lines}
