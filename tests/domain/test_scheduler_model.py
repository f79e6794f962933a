"""The scheduler against a model that looks through all workers each time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskrun.domain.records import Labels, Requirement
from taskrun.domain.scheduler import Claim, Scheduler

KEYS = st.integers(1, 4)
REQUIREMENTS = st.builds(
    Requirement, st.sampled_from("ab"), st.sampled_from([(), (("zone", "x"),), (("gpu", "y"), ("zone", "x"))])
)
LABELS = st.sampled_from([{}, {"zone": "x"}, {"zone": "z"}, {"zone": "x", "gpu": "y"}])


@dataclass
class ModelWorker:
    agents: frozenset[str]
    labels: Labels
    slots: int
    taken: int = 0
    aside: int = 0
    open: bool = True

    @property
    def vacant(self) -> int:
        return max(0, self.slots - self.taken) if self.open else 0

    @property
    def load(self) -> int:
        return self.taken + self.aside

    def can_take(self, requirement: Requirement) -> bool:
        fits = requirement.agent in self.agents and set(requirement.selector) <= set(self.labels.items())
        return fits and self.open and self.load < self.slots


class SchedulerModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler: Scheduler[int] = Scheduler()
        self.workers: dict[int, ModelWorker] = {}
        self.waiting: dict[Requirement, int] = {}
        self.claims: list[Claim[int]] = []

    # Workers.

    @rule(key=KEYS, agents=st.frozensets(st.sampled_from("ab")), labels=LABELS, slots=st.integers(0, 3))
    def join(self, key: int, agents: frozenset[str], labels: Labels, slots: int) -> None:
        if key not in self.workers and not any(claim.key == key for claim in self.claims):
            self.scheduler.join(key, agents, labels, slots)
            self.workers[key] = ModelWorker(agents, labels, slots)

    @rule(key=KEYS)
    def leave(self, key: int) -> None:
        self.scheduler.leave(key)
        self.workers.pop(key, None)

    @rule(key=KEYS, slots=st.integers(0, 3))
    def resize(self, key: int, slots: int) -> None:
        if worker := self.workers.get(key):
            self.scheduler.resize(key, slots)
            worker.slots = slots

    @rule(key=KEYS, opened=st.booleans())
    def offer(self, key: int, opened: bool) -> None:
        if worker := self.workers.get(key):
            self.scheduler.offer(key, open=opened)
            worker.open = opened

    @rule(key=KEYS)
    def release(self, key: int) -> None:
        worker = self.workers.get(key)
        if worker is None or worker.taken:
            self.scheduler.release(key)
        if worker and worker.taken:
            worker.taken -= 1

    # Tasks.

    @rule(requirement=REQUIREMENTS)
    def replace(self, requirement: Requirement) -> None:
        """Who has waited already goes before those that wait."""
        key = self.scheduler.replace(requirement)
        assert (key is None) is (not self.candidates(requirement))
        self.took(key, requirement)

    @rule(requirement=REQUIREMENTS)
    def place(self, requirement: Requirement) -> None:
        """A newcomer goes behind all that wait for a slot of the worker it would get."""
        key = self.scheduler.place(requirement)
        if key is None:
            best = self.least_loaded(requirement)
            assert not best or any(self.somebody_waits_for(worker) for worker in best.values())
        else:
            assert not self.somebody_waits_for(self.workers[key])
        self.took(key, requirement)

    @rule(key=KEYS, requirement=REQUIREMENTS)
    def take(self, key: int, requirement: Requirement) -> None:
        worker = self.workers.get(key)
        can = worker is not None and worker.can_take(requirement)
        assert self.scheduler.take(key, requirement) is can
        if worker is not None and can:
            worker.taken += 1

    @rule(requirement=REQUIREMENTS, count=st.integers(1, 4))
    def wait(self, requirement: Requirement, count: int) -> None:
        self.scheduler.wait(requirement, count)
        self.waiting[requirement] = self.waiting.get(requirement, 0) + count

    @rule(requirement=REQUIREMENTS)
    def unwait(self, requirement: Requirement) -> None:
        """Somebody who waits, and for whom no claim is under way, gives up."""
        if self.waiting.get(requirement, 0) > self.promised(requirement):
            self.scheduler.unwait(requirement)
            self.waiting[requirement] -= 1

    @rule()
    def claim(self) -> None:
        for claim in self.scheduler.claims():
            worker = self.workers[claim.key]
            assert claim.limit == sum(claim.promises) <= worker.slots - worker.load
            for requirement, promise in zip(claim.requirements, claim.promises, strict=True):
                assert worker.can_take(requirement)
                assert promise <= self.waiting[requirement] - self.promised(requirement)
            assert any(claim.key in self.least_loaded(requirement) for requirement in claim.requirements)
            worker.aside += claim.limit
            self.claims.append(claim)
        for requirement, count in self.waiting.items():
            if count > self.promised(requirement):
                assert not self.candidates(requirement), f"{requirement} waits although there is a free slot"

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A claim is answered with as many as it was promised, or fewer, or others of what it asked for."""
        if not self.claims:
            return
        claim = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        brought: list[Requirement] = []
        for requirement in data.draw(st.lists(st.sampled_from(claim.requirements), max_size=claim.limit)):
            if self.waiting[requirement]:
                self.waiting[requirement] -= 1
                self.scheduler.unwait(requirement)
                brought.append(requirement)
        self.scheduler.settle(claim)
        if worker := self.workers.get(claim.key):
            worker.aside -= claim.limit
        for requirement in brought:
            self.take(claim.key, requirement)

    # The model.

    def promised(self, requirement: Requirement) -> int:
        return sum(
            promise
            for claim in self.claims
            for asked, promise in zip(claim.requirements, claim.promises, strict=True)
            if asked == requirement
        )

    def candidates(self, requirement: Requirement) -> dict[int, ModelWorker]:
        return {key: worker for key, worker in self.workers.items() if worker.can_take(requirement)}

    def least_loaded(self, requirement: Requirement) -> dict[int, ModelWorker]:
        candidates = self.candidates(requirement)
        least = min((worker.load for worker in candidates.values()), default=0)
        return {key: worker for key, worker in candidates.items() if worker.load == least}

    def somebody_waits_for(self, worker: ModelWorker) -> bool:
        return any(
            count > self.promised(requirement) and worker.can_take(requirement)
            for requirement, count in self.waiting.items()
        )

    def took(self, key: int | None, requirement: Requirement) -> None:
        if key is not None:
            self.least_loaded(requirement)[key].taken += 1

    @invariant()
    def counts_agree(self) -> None:
        assert self.scheduler.vacant == sum(worker.vacant for worker in self.workers.values())
        assert self.scheduler.taken == sum(worker.taken for worker in self.workers.values())
        for requirement, count in self.waiting.items():
            assert self.scheduler.waiting(requirement) == count


SchedulerModel.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestSchedulerAgainstAModel = SchedulerModel.TestCase
