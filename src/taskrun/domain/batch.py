"""What one turn of the core changes and asks of the store: plain values, applied by whoever keeps the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskrun.domain.limits import KEY_LIFE_MS, RETRY_KEY, RETRY_KEY_LIFE_MS
from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Requirement, StoryEntry, Task
from taskrun.domain.relayed import MessageAnswer, MessageAsk
from taskrun.domain.status import TaskStatus
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class ClaimNext:
    """Ask for up to `limit` waiting tasks of any of these requirements, by priority (high first), then age.

    Each answer is taken out of the queue: no other claim gets it until it is saved as PENDING again.
    `ref` is the asker's own and comes back with the answer.
    """

    ref: object
    requirements: tuple[Requirement, ...]
    limit: int
    #: All tasks of these requirements are counted in these accounts, of each of which so many may run at once. A store
    #: that several share sees to it; who is alone on a store counts itself.
    limits: Figures = ()


@value(frozen=True, slots=True)
class ClaimTask:
    """Ask for one task by its id. If it waits it is taken out of the queue as by `ClaimNext`."""

    task_id: str


@value(frozen=True, slots=True)
class FindKey:
    """Ask for the task that `caller` created with this idempotency key at or after `since_ms`, if there is one."""

    caller: str
    key: str
    since_ms: int


@value(frozen=True, slots=True)
class ClaimExpired:
    """Ask for up to `limit` waiting tasks whose `expires_at_ms` is not 0 and at most `until_ms`: the first to expire
    first, then by id.

    They are taken out of the queue as by `ClaimNext`.
    """

    until_ms: int
    limit: int


@value(frozen=True, slots=True)
class ClaimStranded:
    """Ask for up to `limit` waiting tasks that go on with a session of this worker, which is gone: the oldest first.

    They are taken out of the queue as by `ClaimNext`. One that only asks for this worker by a label is none of them.
    """

    worker_id: str
    limit: int


@value(frozen=True, slots=True)
class ClaimRuns:
    """Ask for the RUNNING tasks whose last runs this worker has, whoever has the tasks: it has come to the asker.

    They are the asker's from then on; what another still says of them is left out. `ref` is as in `ClaimNext`.
    """

    ref: object
    worker_id: str


@value(frozen=True, slots=True)
class TakeRate:
    """Ask for up to `wanted` new tasks, each of which counts in all of these accounts, of each of which so many may be
    made a minute by all control planes together.

    An account that was idle has a minute's worth at once, and then one each time that a minute's part for it has passed
    (the generic cell rate algorithm, ITU-T I.371). What is granted is used up, whether a task is made or not. Who is
    alone on a store counts itself. `ref` is as in `ClaimNext`.

    Those that will wait do so in the accounts of `waiting`, of each of which so many may: no more are granted than that
    leaves now, so that who is turned away for it has used up nothing.
    """

    ref: object
    accounts: Figures
    wanted: int
    waiting: Figures = ()


@value(frozen=True, slots=True)
class RelayCancel:
    """Leave word that the task is to be cancelled, unless it has ended: whoever has it, now or by the time that it is
    read, will do it. Once that is stored the task cannot end otherwise."""

    task_id: str


Ask = ClaimNext | ClaimTask | ClaimExpired | ClaimStranded | FindKey | ClaimRuns | TakeRate | RelayCancel | MessageAsk


@value(frozen=True, slots=True)
class TasksClaimed:
    """The answer to `ClaimNext`."""

    ask: ClaimNext
    tasks: tuple[Task, ...]
    #: There may be more, but these of its accounts are full.
    full: tuple[AccountName, ...] = ()


@value(frozen=True, slots=True)
class TaskClaimed:
    """The answer to `ClaimTask`: the task as stored, or None if the id is unknown. `owned`: it waited, and is taken.

    `elsewhere`: it has not ended, and another control plane has it or is about to.
    """

    ask: ClaimTask
    task: Task | None
    owned: bool
    elsewhere: bool = False


@value(frozen=True, slots=True)
class ExpiredClaimed:
    """The answer to `ClaimExpired`. `next_ms` is the least `expires_at_ms` of those that still wait; 0 is none."""

    ask: ClaimExpired
    tasks: tuple[Task, ...]
    next_ms: int


@value(frozen=True, slots=True)
class StrandedClaimed:
    """The answer to `ClaimStranded`."""

    ask: ClaimStranded
    tasks: tuple[Task, ...]


@value(frozen=True, slots=True)
class KeyFound:
    """The answer to `FindKey`."""

    ask: FindKey
    task: Task | None


@value(frozen=True, slots=True)
class RunsClaimed:
    """The answer to `ClaimRuns`, in no order. A store that nobody shares has none to give.

    `own`: the ids of those that were the asker's already, perhaps by a meeting of which it has not heard yet.
    """

    ask: ClaimRuns
    tasks: tuple[Task, ...]
    own: frozenset[str] = frozenset()


@value(frozen=True, slots=True)
class RateTaken:
    """The answer to `TakeRate`: how many there may be. A store that nobody shares grants all."""

    ask: TakeRate
    granted: int
    #: If that is less than was wanted: the account that grants no more for the longest.
    full: AccountName | None = None
    #: Seconds until that one has its next.
    wait: float = 0.0
    #: It is none of the rates that is used up: so many tasks of that account wait, as many as may.
    waiting: int | None = None


@value(frozen=True, slots=True)
class CancelRelayed:
    """The answer to `RelayCancel`: the task as stored, or None if the id is unknown."""

    ask: RelayCancel
    task: Task | None


@value(frozen=True, slots=True)
class Disowned:
    """No answer to an ask, but the last word of a commit: nothing that the batch said of these tasks was stored.

    Another control plane has them meanwhile, or has made one with their idempotency key at the same time.
    """

    task_ids: tuple[str, ...]


@value(frozen=True, slots=True)
class TurnedAway:
    """No answer to an ask, but the first word of a commit: nothing that the batch said of these new tasks was stored.

    They would wait in this account, of which `figure` tasks may, and `waiting` do, all control planes counted. Or,
    where `waiting` is None, they would be more than the `figure` new tasks that it may have a minute: `wait` seconds
    later it may have its next.
    """

    tasks: tuple[Task, ...]
    account: AccountName
    figure: int
    waiting: int | None = None
    wait: float = 0.0


Answer = (
    TasksClaimed
    | TaskClaimed
    | ExpiredClaimed
    | StrandedClaimed
    | KeyFound
    | RunsClaimed
    | RateTaken
    | CancelRelayed
    | MessageAnswer
    | Disowned
    | TurnedAway
)


@dataclass(slots=True)
class Batch:
    """Everything one turn of the loop changes and asks: applied in one transaction, in the order of the fields."""

    #: The newest value of each touched task. PENDING puts it into the queue, anything else takes it out.
    tasks: dict[str, Task] = field(default_factory=dict)
    #: What is added to the stories, in order, by task.
    story: dict[str, list[StoryEntry]] = field(default_factory=dict)
    #: Answered after the writes, in order.
    asks: list[Ask] = field(default_factory=list)
    #: By new task that waits: the accounts in which it does so, of each of which so many may. A store that several
    #: share turns away those that would be more; who is alone on a store counts itself.
    waiting: dict[str, Figures] = field(default_factory=dict)
    #: By new task for which no rate was taken: the accounts in which it counts, of each of which so many may be made a
    #: minute. As with those that wait: what are too many are turned away. Others take their parts, as by `TakeRate`.
    rates: dict[str, Figures] = field(default_factory=dict)
    #: By new task that is RUNNING: the accounts in which it does so, of each of which so many may at once. A store that
    #: several share refuses the batch if there would be more; who is alone on a store counts itself.
    running: dict[str, Figures] = field(default_factory=dict)
    #: By task that runs already, perhaps under no limit until now: the accounts in which it counts from now on. It is
    #: never one too many. A store that several share counts it, as long as it runs; who is alone counts itself.
    counted: dict[str, tuple[AccountName, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.story or self.asks or self.counted)


@value(frozen=True, slots=True)
class Backlog:
    """How much waits for one requirement, and since when (Unix ms) the task that entered the queue first."""

    waiting: int
    oldest_ms: int


@value(frozen=True, slots=True)
class Retention:
    """Which finished tasks need not be kept: those that ended early enough, and any while there is too much of it all.

    One that was created with an idempotency key, at or after `keys_since_ms`, is kept: its key may be asked for. Of a
    key that a client made up to repeat a call (`RETRY_KEY`) the same holds from `retries_since_ms` on.
    """

    #: Unix ms. 0 asks for none by time.
    ended_before_ms: int
    #: Bytes that the store may use. 0 is no limit.
    max_bytes: int
    #: Unix ms.
    keys_since_ms: int
    retries_since_ms: int = 0

    @classmethod
    def at(cls, now_ms: int, age_ms: int, max_bytes: int) -> Retention:
        """Those need not be kept that ended more than `age_ms` ago; 0 asks for none by time."""
        before_ms = now_ms - age_ms if age_ms else 0
        return cls(before_ms, max_bytes, now_ms - KEY_LIFE_MS, now_ms - RETRY_KEY_LIFE_MS)

    def keeps(self, task: Task) -> bool:
        """Whether the task is kept for its key."""
        key = task.spec.idempotency_key
        since_ms = self.retries_since_ms if key.startswith(RETRY_KEY) else self.keys_since_ms
        return bool(key) and task.created_at_ms >= since_ms


@value(frozen=True, slots=True)
class Recovery:
    """What a control plane needs to know at its start."""

    #: Tasks that were RUNNING: their runs were with workers that are not connected yet.
    active: tuple[Task, ...] = ()
    backlog: Mapping[Requirement, Backlog] = field(default_factory=dict)
    counts: Mapping[TaskStatus, int] = field(default_factory=dict)
    #: As `ExpiredClaimed.next_ms`.
    expires_at_ms: int = 0
