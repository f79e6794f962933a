"""The scheduler under limits, whatever happens in whatever order: no limit is passed, and nobody waits in vain."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import Requirement
from taskrun.domain.scheduler import Claim, Scheduler

KEYS = st.integers(1, 3)
LINES = st.builds(
    lambda agent, client, team: Requirement(agent, (), (("client", client), *([("label:team", team)] if team else []))),
    st.sampled_from("xy"),
    st.sampled_from("ab"),
    st.sampled_from(["", "", "red"]),
)
LIMITS = st.builds(
    Limit, st.sampled_from(["client", "agent", "label:team"]), st.sampled_from(["", "a", "x", "red"]), st.none(),
    st.integers(0, 3),
)  # fmt: skip
POLICIES = st.builds(
    lambda limits, fair_by: Policy({(each.by, each.value): each for each in limits}.values(), fair_by),
    st.lists(LIMITS, max_size=4),
    st.sampled_from(["", "client", "label:team"]),
)


class LimitedScheduler(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy([Limit("client", running=1), Limit("agent", "x", running=2)], "client")
        self.scheduler: Scheduler[int] = Scheduler(self.policy)
        #: By worker, what it runs.
        self.runs: dict[int, list[Requirement]] = {}
        self.claims: list[Claim[int]] = []
        #: What a change of limits found running: more may run than is allowed by now.
        self.excess = Counter[AccountName]()

    @initialize(lines=st.lists(LINES, min_size=2, max_size=6))
    def begin(self, lines: list[Requirement]) -> None:
        self.join(1, "xy", 3)
        self.join(2, "x", 2)
        for line in lines:
            self.wait(line, 3)
        self.work(1)

    @rule(key=KEYS, agents=st.sampled_from(["x", "y", "xy"]), slots=st.integers(1, 3))
    def join(self, key: int, agents: str, slots: int) -> None:
        if key not in self.runs and all(claim.key != key for claim in self.claims):
            self.scheduler.join(key, agents, {}, slots)
            self.runs[key] = []

    @rule(key=KEYS)
    def leave(self, key: int) -> None:
        self.scheduler.leave(key)
        for requirement in self.runs.pop(key, []):
            self.scheduler.ended(requirement)

    @rule(line=LINES, count=st.integers(1, 3))
    def wait(self, line: Requirement, count: int) -> None:
        self.scheduler.wait(line, count)

    @rule(line=LINES)
    def give_up(self, line: Requirement) -> None:
        found = self.scheduler._lines.find(line)
        if found is not None and found.unserved:
            self.scheduler.unwait(line)

    @rule(line=LINES)
    def place(self, line: Requirement) -> None:
        key = self.scheduler.place(line)
        if key is not None:
            self.began(key, line)

    @rule(key=KEYS, data=st.data())
    def end(self, key: int, data: st.DataObject) -> None:
        if runs := self.runs.get(key):
            self.scheduler.ended(runs.pop(data.draw(st.integers(0, len(runs) - 1))))
            self.scheduler.release(key)

    @rule()
    def claim(self) -> None:
        self.claims += list(self.scheduler.claims())
        self.nobody_waits_in_vain()

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Each claim brings some of what it asked for, of whichever of its lines."""
        if not self.claims:
            return
        claim = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        brought = []
        for line in data.draw(st.lists(st.sampled_from(claim.requirements), max_size=claim.limit)):
            if self.scheduler.waiting(line):
                self.scheduler.unwait(line)
                brought.append(line)
        self.scheduler.settle(claim)
        for line in brought:
            if self.scheduler.take(claim.key, line):
                self.began(claim.key, line)
            else:
                self.scheduler.wait(line)

    @rule(rounds=st.integers(1, 3))
    def work(self, rounds: int) -> None:
        """Whatever runs ends, and whatever is claimed comes and runs."""
        for _ in range(rounds):
            for key, runs in self.runs.items():
                while runs:
                    self.scheduler.ended(runs.pop())
                    self.scheduler.release(key)
            self.claim()
            for claim in self.claims:
                for line, promise in zip(claim.requirements, claim.promises, strict=True):
                    self.scheduler.unwait(line, promise)
                self.scheduler.settle(claim)
                for line, promise in zip(claim.requirements, claim.promises, strict=True):
                    for _ in range(promise):
                        if self.scheduler.take(claim.key, line):
                            self.began(claim.key, line)
            self.claims.clear()

    @rule(policy=POLICIES, now=st.integers(0, 4))
    def change_limits(self, policy: Policy, now: int) -> None:
        if now:
            return
        self.policy = policy
        self.scheduler.rule(policy)
        self.excess = self.counted()

    def began(self, key: int, line: Requirement) -> None:
        self.scheduler.began(line)
        self.runs[key].append(line)

    def counted(self) -> Counter[AccountName]:
        running = Counter[AccountName]()
        for line in (line for runs in self.runs.values() for line in runs):
            running.update(name for name, _ in self.policy.accounts(line))
        for claim in self.claims:
            for line, promise in zip(claim.requirements, claim.promises, strict=True):
                for name, _ in self.policy.accounts(line):
                    running[name] += promise
        return running

    def nobody_waits_in_vain(self) -> None:
        for line in self.scheduler._lines:
            if line.unserved and line.full() is None:
                assert all(seat.free <= 0 for seat in line.need.seats), f"{line.requirement} waits in vain"

    @invariant()
    def limits_hold(self) -> None:
        running = self.counted()
        for account in self.scheduler._lines.accounts():
            assert account.running == running[account.name] or account.limit.running is None
            if account.limit.running is not None:
                assert running[account.name] <= max(account.limit.running, self.excess[account.name])

    @invariant()
    def what_is_held_is_counted(self) -> None:
        held = Counter[str]()
        for line in self.scheduler._lines:
            if line.held_by is not None:
                held[line.held_by.name.key] += line.waiting
        assert +Counter(self.scheduler.held) == +held


LimitedScheduler.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSchedulerUnderLimits = LimitedScheduler.TestCase
