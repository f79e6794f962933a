"""New tasks: which there may be, and which there are already.

A create with an idempotency key first hears from the store whether that has made a task. Where several control planes
count together the store says which new tasks are too many, when it is to keep them: by how many may wait, run, or be
made a minute. Where that rate may be near, by what was made here, a create waits until the store grants it, asked for
once for all that came in a turn: of a flood nothing is made that comes to nothing. Everything else is decided at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from taskrun.domain.batch import FindKey, KeyFound, RateTaken, TakeRate, TurnedAway
from taskrun.domain.control_plane.admission import Admission, Refusal, rates_of, room_of, slots_of
from taskrun.domain.control_plane.inputs import CreateTask
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Placed, Turn
from taskrun.domain.errors import AlreadyExists
from taskrun.domain.events import TaskMoved
from taskrun.domain.limits import KEY_LIFE_MS
from taskrun.domain.quotas import Figures
from taskrun.domain.records import Requirement, Task, TaskChange
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.scheduling.accounts import Account
from taskrun.domain.status import TaskStatus
from taskrun.domain.waiting import first_wait_ends

#: Who uses an idempotency key, and the key.
_Keyed = tuple[str, str]


@dataclass(eq=False, slots=True)
class _Entrant:
    """A create that only the store can refuse by now."""

    request: CreateTask
    requirement: Requirement
    #: Whose slot is set aside for it; without one it will wait.
    session: int | None
    accounts: tuple[Account[int], ...]
    #: What is still to be taken of the store's.
    rates: Figures

    @property
    def room(self) -> Figures:
        """Where it will wait if it does."""
        return room_of(self.accounts) if self.session is None else ()


class Creating:
    """Makes tasks of what callers ask for, or refuses it."""

    def __init__(self, scheduler: Scheduler[int], runs: Runs, new_id: Callable[[], str], *, shared: bool) -> None:
        """`shared`: what is new and what waits is counted by the store, for all control planes on it."""
        self._scheduler, self._runs, self._new_id, self._shared = scheduler, runs, new_id, shared
        self._admission = Admission(shared=shared)
        #: Creates that wait to hear whether their key was used before, or what becomes of the first of them.
        self._keyed: dict[_Keyed, deque[CreateTask]] = {}
        #: Those of this turn, by what they ask of the store: rates, and room to wait.
        self._entrants: dict[tuple[Figures, Figures], list[_Entrant]] = {}

    def create(self, turn: Turn, request: CreateTask) -> None:
        """A new task, unless its key has made one already."""
        if not request.spec.idempotency_key:
            self._enter(turn, request)
            return
        caller, key = _key(request)
        waiting = self._keyed.setdefault((caller, key), deque())
        waiting.append(request)
        if len(waiting) == 1:
            turn.batch.asks.append(FindKey(caller, key, turn.now.utc_ms - KEY_LIFE_MS))

    def key_found(self, turn: Turn, answer: KeyFound) -> None:
        """All creates with this key get the task that it has made, or else the one that it makes now."""
        keyed = (answer.ask.caller, answer.ask.key)
        if answer.task is None:
            self._enter_first(turn, keyed)
        else:
            self._repeat(turn, keyed, answer.task)

    def ask(self, turn: Turn) -> None:
        """Asks the store for the rates of all that came in this turn."""
        for (rates, room), entrants in self._entrants.items():
            turn.batch.asks.append(TakeRate(entrants, rates, len(entrants), room))
        self._entrants = {}

    def rate_taken(self, turn: Turn, answer: RateTaken) -> None:
        """As many as were granted get their tasks, those who came first; the rest is refused."""
        entrants = answer.ask.ref
        assert isinstance(entrants, list)
        for entrant in entrants[: answer.granted]:
            entrant.session, entrant.rates = self._slot_of(entrant), ()
            self._make(turn, entrant)
        late = entrants[answer.granted :]
        if late:
            self._turn_away(turn, late, self._admission.learn(answer, turn.now.mono))

    def turned_away(self, turn: Turn, news: TurnedAway) -> None:
        """The store has not taken these in: they do not wait, and of their runs nobody has heard. Who asked for them
        knows, by the turn that made them."""
        self._admission.heed(news, turn.now.mono)
        for task in news.tasks:
            self._runs.drop(turn, task.id)
            if task.status is TaskStatus.PENDING:
                self._scheduler.unwait(task.requirement)

    # Letting in.

    def _enter_first(self, turn: Turn, keyed: _Keyed) -> None:
        """The first of those with this key that nothing refuses is to make the task."""
        requests = self._keyed[keyed]
        while requests and not self._enter(turn, requests[0]):
            requests.popleft()
        if not requests:
            del self._keyed[keyed]

    def _enter(self, turn: Turn, request: CreateTask) -> bool:
        """Makes the task, or is about to ask for its rates. False: it is refused.

        What others have put in and taken out of the queue nobody knows here: where there are some, the store says who
        is too many.
        """
        if request.refusal is not None:
            turn.replies.append((request.reply, request.refusal))
            return False
        spec, policy = request.spec, self._scheduler.policy
        requirement = Requirement(spec.agent, spec.selector, policy.share(spec, request.created_by))
        accounts = self._scheduler.accounts(requirement) if policy.limits else ()
        refusal = self._admission.too_fast(accounts, turn.now.mono)
        session = None if refusal else self._scheduler.place_new(requirement)
        if refusal is None and session is None and not self._shared:
            refusal = self._admission.too_many(accounts)
        if refusal is not None:
            self._refuse(turn, request, refusal)
            return False
        rates = rates_of(accounts) if self._shared else ()
        entrant = _Entrant(request, requirement, session, accounts, rates)
        if self._admission.far_from(rates, turn.now.mono):
            self._make(turn, entrant)
        else:
            self._entrants.setdefault((rates, entrant.room), []).append(entrant)
        return True

    def _slot_of(self, entrant: _Entrant) -> int | None:
        """The slot that was set aside, or another if its worker is gone; none if others have filled an account."""
        session, requirement = entrant.session, entrant.requirement
        if session is None:
            return None
        self._scheduler.release(session)
        if self._scheduler.holding(requirement) is not None:
            return None
        return session if self._scheduler.take(session, requirement) else self._scheduler.replace(requirement)

    def _turn_away(self, turn: Turn, entrants: list[_Entrant], refusal: Refusal) -> None:
        """With each go those who have asked for the same under its key. Who has asked for something else is next."""
        for entrant in entrants:
            if entrant.session is not None:
                self._scheduler.release(entrant.session)
            keyed, spec = _key(entrant.request), entrant.request.spec
            requests = self._keyed.get(keyed, (entrant.request,))
            for request in requests:
                if request.spec == spec:
                    self._refuse(turn, request, refusal)
            if keyed in self._keyed:
                self._keyed[keyed] = deque(request for request in requests if request.spec != spec)
                self._enter_first(turn, keyed)

    # Answering.

    def _refuse(self, turn: Turn, request: CreateTask, refusal: Refusal) -> None:
        error, event = refusal
        turn.replies.append((request.reply, error))
        turn.events.append(event)

    def _make(self, turn: Turn, entrant: _Entrant) -> None:
        """A new task, for the worker whose slot is taken or for the queue."""
        request, now_ms = entrant.request, turn.now.utc_ms
        spec = request.spec
        self._admission.count(entrant.accounts, turn.now.mono)
        task = Task(
            self._new_id(),
            spec,
            TaskStatus.PENDING,
            request.created_by,
            now_ms,
            next_seq=1,
            expires_at_ms=first_wait_ends(spec, now_ms),
            share=entrant.requirement.share,
            ageing=self._scheduler.policy.ageing,
        )
        turn.save(task, TaskChange(task.status))
        turn.events.append(TaskMoved(task, None, task.status))
        judged = self._shared and bool(entrant.accounts)
        if judged:
            self._submit(turn, task, entrant)
        task = self._runs.offer(turn, task, entrant.session, waited_ms=0)
        if spec.idempotency_key:
            # Another control plane may be making one at this moment: the first to store it has.
            self._repeat(turn, _key(request), task)
        elif judged:
            turn.answer(request, task)
        else:
            turn.replies.append((request.reply, task))

    def _submit(self, turn: Turn, task: Task, entrant: _Entrant) -> None:
        """The store has the last word: others may have filled the accounts in which the task counts."""
        if entrant.rates:
            turn.batch.rates[task.id] = entrant.rates
        room, slots = room_of(entrant.accounts), slots_of(entrant.accounts)
        if entrant.session is None and room:
            turn.batch.waiting[task.id] = room
        elif entrant.session is not None and slots:
            turn.batch.running[task.id] = slots
            turn.placed[task.id] = Placed(task, room)

    def _repeat(self, turn: Turn, keyed: _Keyed, task: Task) -> None:
        """All who used the key get its task, if that is what they ask for."""
        for request in self._keyed.pop(keyed):
            same = task.spec == request.spec
            turn.answer(request, task, None if same else _used(task))


def _used(task: Task) -> AlreadyExists:
    return AlreadyExists(f"The idempotency key was used for another request, task {task.id}.")


def _key(request: CreateTask) -> _Keyed:
    return (request.created_by, request.spec.idempotency_key)
