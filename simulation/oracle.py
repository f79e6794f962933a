"""What is true in every world: looked at step by step while it turns, and as a whole when it has come to rest.

Each step looks only at what it changed. The oracle knows what really happened: who lived when, what each agent said,
and how long a worker was out of touch. What it demands is what `docs/promises.md` says, and no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from simulation.agents import Agent
from simulation.demand import Violation, demand
from simulation.talk import Talk
from taskrun.domain.batch import Batch
from taskrun.domain.records import OutputSegment, Run, RunEvent, StoryEntry, Task, TaskSpec
from taskrun.domain.retry import attempts
from taskrun.domain.status import FailureKind, RunEventType, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.testing.invariants import check_said, check_story

if TYPE_CHECKING:
    from simulation.watchers import Watcher
    from simulation.worker import Worker
    from simulation.world import World

#: Seconds: what is promised to a worker that comes back.
RESUMES_WITHIN = DaemonTimers().resume
#: Seconds that an assigned run has to be started.
_START = ControlPlaneTimers().start
#: Seconds that one that was told to stop may be unheard of.
_STOP = ControlPlaneTimers().stop
#: Seconds after a thaw by which a worker has found that its agents should be gone; they are when they had time to stop.
_FOUND_AFTER_THAW = 1.0
#: Seconds between two signs that a worker is in touch, if nothing holds them up: a heartbeat, and some room.
_HEARD_EVERY = DaemonTimers().heartbeat + 1.0
_NOT_STARTED = "the run was not started in time"
#: What the error of a run says that ended without its worker's word.
_UNCONFIRMED = (
    "has not confirmed its end",
    "workers were lost",
    "the worker was lost",
    "without the run",
    "control plane",
)


class Oracle:
    """Sees everything, and says what must not be."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Every run that an agent began, and those that agents execute now, by task.
        self._agents: dict[str, Agent] = {}
        self._executing: dict[str, list[Agent]] = defaultdict(list)
        self._acknowledged: dict[str, Task] = {}
        self._talk = Talk(world)
        self._by_key: dict[str, str] = {}
        self._cancel_asked: set[str] = set()
        self._cancel_acknowledged: set[str] = set()
        #: When each run was assigned, in seconds of the world.
        self._assigned_at: dict[str, float] = {}
        self._decided_at = 0.0
        #: When each worker was last out of touch for long, by process.
        self._away_until: dict[str, float] = {}
        #: The same of what was longer than it takes if nothing holds it up.
        self._held_up_until: dict[str, float] = {}
        #: When a control plane last took a hello that was over by then for a new one, by worker.
        self._haunted_at: dict[str, float] = {}

    # What clients are told.

    def acknowledged(self, task: Task, spec: TaskSpec) -> None:
        """A client was given this task for what it wanted."""
        demand(task.id in self._world.store.kept.tasks, f"task {task.id} was acknowledged before it was stored")
        demand(task.spec == spec, f"task {task.id} is not what was asked for")
        self._acknowledged[task.id] = task
        if spec.idempotency_key:
            first = self._by_key.setdefault(spec.idempotency_key, task.id)
            demand(first == task.id, f"one key made the tasks {first} and {task.id}")

    def asked_to_cancel(self, task_id: str) -> None:
        """A client wants it to end."""
        self._cancel_asked.add(task_id)

    def cancelled(self, task: Task) -> None:
        """A client was told that it will end."""
        demand(task.cancel_requested, f"the cancel of task {task.id} was acknowledged, and it says nothing of it")
        self._cancel_acknowledged.add(task.id)

    def speaks(self, message: str) -> None:
        """A client says this to an agent, and to nobody else."""
        self._talk.speaks(message)

    def talked(self, task_id: str, message: str, answer: Task) -> None:
        """A client was told which task has the answer to what it said to this one."""
        self._talk.answered(task_id, message, answer)

    def read(self, watcher: Watcher, entries: Sequence[StoryEntry]) -> None:
        """A watcher read on."""
        expected = watcher.next_seq
        for entry in entries:
            demand(
                entry.seq == expected, f"a watcher of {watcher.task_id} read {entry.seq} where {expected} comes next"
            )
            expected = entry.next_seq

    # What agents do.

    def began(self, agent: Agent) -> None:
        """An agent began with a run."""
        run_id, task_id, worker = agent.run.run_id, agent.run.task_id, agent.worker
        demand(self._agents.get(run_id) is agent.before, f"run {run_id} began twice")
        if agent.before is not None:
            demand(agent.before.done, f"run {run_id} went on after a turn that failed")
            self._talk.heard(run_id, agent.run.input_json)
        self._agents[run_id] = agent
        demand(len(worker.agents) <= worker.slots, f"{worker.name} executes more than it has slots")
        run = self._run(task_id, run_id)
        demand(run is not None, f"run {run_id} began, and task {task_id} knows nothing of it")
        assert run is not None
        demand((run.worker_id, run.process) == (worker.name, worker.process), f"run {run_id} is another worker's")
        for other in self._executing[task_id]:
            self._world.count("two agents at once")
            late = other if self._is_over(other) else agent
            demand(self._may_go_on(late), f"task {task_id} is executed as {run_id} and as {other.run.run_id} at once")
        self._executing[task_id].append(agent)

    def gone(self, agent: Agent) -> None:
        """An agent is no more."""
        self._executing[agent.run.task_id].remove(agent)

    def _is_over(self, agent: Agent) -> bool:
        run = self._run(agent.run.task_id, agent.run.run_id)
        return run is not None and run.status.is_terminal

    def _may_go_on(self, agent: Agent) -> bool:
        """Whether it may still execute a run that is over: its worker could not do anything yet, or was not heard."""
        worker, now = agent.worker, self._world.agenda.time
        run = self._run(agent.run.task_id, agent.run.run_id)
        assert run is not None
        grace = self._world.daemon_timers.stop_grace if agent.stopping else 0.0
        thawed_just_now = now - worker.thawed_at <= _FOUND_AFTER_THAW + grace
        unheard = _UNCONFIRMED[0] in run.error or run.error.startswith(_NOT_STARTED)
        return self._world.faults.unreal or worker.frozen or thawed_just_now or unheard or self._is_haunted(run)

    def _run(self, task_id: str, run_id: str) -> Run | None:
        task = self._world.store.kept.tasks.get(task_id)
        return next((run for run in task.runs if run.id == run_id), None) if task else None

    # Who is out of touch.

    def in_touch(self, worker: Worker, heard_at: float) -> None:
        """The worker hears something that was said when what it said at this time had been heard."""
        if self._world.agenda.time - worker.known_at >= RESUMES_WITHIN:
            self._away_until[worker.process] = self._world.agenda.time
        if self._world.agenda.time - worker.known_at >= _HEARD_EVERY:
            self._held_up_until[worker.process] = self._world.agenda.time
        worker.known_at = max(worker.known_at, heard_at)

    def haunted(self, worker: Worker) -> None:
        """A hello arrives that a worker now dead has sent, or one to the control plane before it began again.

        It takes the place of another, and nothing tells which is the newer one.
        """
        self._world.count("hello from the past")
        self._haunted_at[worker.name] = self._world.agenda.time

    def _was_away(self, worker: Worker, since: float) -> bool:
        """Whether it was out of touch for as long as a worker may be, at any time since then."""
        now = self._world.agenda.time
        return now - worker.known_at >= RESUMES_WITHIN or self._away_until.get(worker.process, -1.0) >= since

    # What is stored.

    def stored(self, batch: Batch, before: Mapping[str, Task | None], decided_at: float) -> None:
        """A batch was applied. It was decided at this time."""
        self._decided_at = decided_at
        for task_id, task in batch.tasks.items():
            old = before[task_id]
            if old is not None:
                self._moved(old, task)
            for run in task.runs[len(old.runs) if old else 0 :]:
                self._assigned_at[run.id] = decided_at

    def _moved(self, old: Task, new: Task) -> None:
        demand(not old.status.is_terminal, f"task {new.id} was {old.status.value}, and changed")
        demand(new.next_seq >= old.next_seq, f"the story of task {new.id} went back")
        demand(new.spec is old.spec or new.spec == old.spec, f"task {new.id} is another than it was")
        demand(new.cancel_requested >= old.cancel_requested, f"the cancel of task {new.id} is forgotten")
        demand(new.runs[: len(old.runs) - 1] == old.runs[:-1], f"the past of task {new.id} changed")
        if old.runs and not old.runs[-1].status.is_terminal:
            run = new.runs[len(old.runs) - 1]
            demand(run.next_seq >= old.runs[-1].next_seq, f"what was heard of run {run.id} was forgotten")
            if run.status.is_terminal:
                self._ended(new, old.runs[-1], run)

    def _ended(self, task: Task, before: Run, run: Run) -> None:
        """A run ended: there has to be a reason."""
        self._ended_at_its_worker(run)
        since = self._decided_at - self._assigned_at[run.id]
        agent = self._agents.get(run.id)
        match run.failure:
            case None:
                demand(agent and agent.done, f"run {run.id} is completed, and its agent never was")
            case FailureKind.AGENT_ERROR:
                demand(agent and agent.failed, f"run {run.id} failed, and its agent did not")
            case FailureKind.TIMEOUT:
                allowed = min(filter(None, (task.spec.timeout_ms, task.spec.silence_timeout_ms)), default=float("inf"))
                # A control plane that begins anew reads from its wall clock how long a run has taken.
                in_time = since < allowed / 1000 and not self._world.sets_clocks
                demand(not in_time, f"run {run.id} was too slow after {since:.3f} s")
            case FailureKind.WORKER_LOST | FailureKind.POISON:
                demand(self._may_be_lost(before), f"run {run.id} was given up without need: {run.error}")
            case FailureKind.CANCELLED:
                asked = task.id in self._cancel_asked or self._world.drains
                demand(asked, f"run {run.id} was cancelled, and nobody asked for it")
            case FailureKind.REJECTED:
                demand(agent is None, f"run {run.id} was refused, and began")
            case _:
                raise Violation(f"run {run.id} failed: {run.failure}")

    def _ended_at_its_worker(self, run: Run) -> None:
        """Its agent is gone, unless its end says that nobody knows; and that it says only if nobody could."""
        agent = self._agents.get(run.id)
        confirmed = not any(words in run.error for words in _UNCONFIRMED)
        executing = agent is not None and agent in self._executing[agent.run.task_id]
        demand(not (confirmed and executing), f"run {run.id} is said to have ended, and goes on: {run.error}")
        if _UNCONFIRMED[0] in run.error:
            demand(self._could_not_say(run), f"run {run.id} was given up without need: {run.error}")

    def _could_not_say(self, run: Run) -> bool:
        """Whether its worker may have had no chance to say that it stops the run."""
        worker = self._world.worker(run.worker_id)
        gone = run.process != worker.process or not worker.alive
        last = self._world.agenda.time - _STOP
        held_up = worker.known_at <= last or self._held_up_until.get(worker.process, -1.0) >= last
        return self._world.faults.unreal or gone or held_up

    def _may_be_lost(self, run: Run) -> bool:
        worker = self._world.worker(run.worker_id)
        since = self._assigned_at[run.id]
        unstarted = run.status is RunStatus.ASSIGNED or run.stop is FailureKind.WORKER_LOST
        late = unstarted and self._decided_at - since >= _START
        gone = run.process != worker.process or not worker.alive
        return self._world.faults.unreal or late or gone or self._is_haunted(run) or self._was_away(worker, since)

    def _is_haunted(self, run: Run) -> bool:
        return self._haunted_at.get(run.worker_id, -1.0) >= self._assigned_at[run.id]

    # When all is over.

    def judge(self) -> None:
        """Every task at its one end, every story whole, and nothing that anybody was told is otherwise."""
        kept = self._world.store.kept
        said = {run_id: agent.said for run_id, agent in self._agents.items()}
        for task in kept.tasks.values():
            story = kept.stories[task.id]
            check_story(task, story)
            check_said(task, story, said)
            self._judge_usage(task, story)
            demand(attempts(task.runs) <= task.spec.max_attempts, f"task {task.id} was tried too often")
            cancelled = task.status is TaskStatus.CANCELLED
            demand(not cancelled or task.id in self._cancel_asked, f"task {task.id} was cancelled by nobody")
        self._talk.judge()
        for task_id in self._acknowledged:
            demand(task_id in kept.tasks, f"task {task_id} was acknowledged, and is lost")
        for task_id in self._cancel_acknowledged:
            demand(kept.tasks[task_id].status is TaskStatus.CANCELLED, f"task {task_id} was to be cancelled")
        for watcher in self._world.clients.watchers:
            self._judge_watcher(watcher)

    def _judge_usage(self, task: Task, story: Sequence[StoryEntry]) -> None:
        """A run consumed what its agent told, as far as that was heard."""
        told = Counter[str]()
        for entry in story:
            if isinstance(entry.body, RunEvent) and entry.body.type is RunEventType.USAGE:
                told[entry.body.run_id] = int(entry.body.metadata["input_tokens"])
        for run in task.runs:
            used = run.usage.input_tokens if run.usage else 0
            agent = self._agents.get(run.id)
            said = len(agent.said) if agent else 0
            demand(told[run.id] <= used <= said, f"run {run.id} consumed {used} of {said}, and told of {told[run.id]}")

    def _judge_watcher(self, watcher: Watcher) -> None:
        story = self._world.store.story(watcher.task_id, watcher.from_seq)
        demand(
            _words(watcher.read) == _words(story), f"a watcher of {watcher.task_id} read what the story does not say"
        )


def _words(story: Sequence[StoryEntry]) -> list[object]:
    """What each number of a story says, however it was cut."""
    words: list[object] = []
    for entry in story:
        body = entry.body
        words += body.contents if isinstance(body, OutputSegment) and body.contents else [body]
    return words
