"""Random histories: callers, workers and time do what they like, and everything that was promised still holds.

`check_core` looks at the core after each turn, with the answers of the store on their way or not; here is what can only
be seen over time.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskrun.domain.control_plane.inputs import (
    CancelTask,
    ConnectWorker,
    ContinueTask,
    CreateTask,
    Input,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.conversation import FOLLOW_UP_WAIT_MS
from taskrun.domain.protocol import AssignRun, FromWorker, Heartbeat, LiveRun, RunReport
from taskrun.domain.records import Labels, OutputSegment, Run, RunEvent, RunMessage, Task, TaskSpec
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.invariants import check_story
from taskrun.testing.simulation import NEW, OLD, Simulation

AGENTS = ("a", "b")
WORKERS = ("w1", "w2", "w3")
GPU: Labels = {"gpu": "yes"}
SPECS = st.builds(
    TaskSpec,
    st.sampled_from(AGENTS),
    st.just("1"),
    timeout_ms=st.sampled_from([0, 0, 20_000]),
    priority=st.integers(0, 2),
    max_attempts=st.integers(1, 3),
    retry_on=st.sampled_from([frozenset(), frozenset({FailureKind.AGENT_ERROR, FailureKind.TIMEOUT})]),
    selector=st.sampled_from([(), (), tuple(GPU.items())]),
    idempotency_key=st.sampled_from(["", "", "", "k1", "k2"]),
    queue_timeout_ms=st.sampled_from([0, 0, 10_000, 60_000]),
)
CALLERS = st.sampled_from(["client:me", "client:you"])
FAILURES = st.none() | st.sampled_from(FailureKind)
SECONDS = st.sampled_from([0.5, 0.5, 5.0, 5.0, 14.0, 16.0, 31.0, 46.0])
#: Which of the known ones; it wraps around.
PICK = st.integers(0, 1000)


class ControlPlaneHistory(RuleBasedStateMachine):
    timers = ControlPlaneTimers()

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation(self.timers)
        self.replies = 0
        self.sessions = 0
        #: So many inputs gather for a turn, unless something else makes one earlier.
        self.inputs_a_turn = 1
        self.inbox: list[Input] = []
        #: The stream on which each run was last assigned, and whose it is.
        self.owners: dict[str, int] = {}
        self.workers: dict[int, str] = {}
        self.ended: dict[str, tuple[Task, int]] = {}

    @initialize(inputs_a_turn=st.integers(1, 4))
    def begin(self, inputs_a_turn: int) -> None:
        self.inputs_a_turn = inputs_a_turn
        for worker in WORKERS:
            self.connect(worker, AGENTS, 2, GPU, NEW, "p1", 0)

    # Callers.

    @rule(specs=st.lists(SPECS, min_size=1, max_size=4), caller=CALLERS)
    def create(self, specs: list[TaskSpec], caller: str) -> None:
        self.submit(*[CreateTask(self.next_reply(), spec, caller) for spec in specs])

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        tasks = sorted(self.sim.store.tasks.values(), key=lambda task: (task.status is not TaskStatus.RUNNING, task.id))
        ids = [task.id for task in tasks[:5]] + ["unknown"]
        self.submit(CancelTask(self.next_reply(), ids[pick % len(ids)]))

    @precondition(lambda self: self.sim.store.tasks)
    @rule(pick=PICK, caller=CALLERS, fork=st.booleans(), key=st.sampled_from(["", "", "k1", "k3"]))
    def say_more(self, pick: int, caller: str, fork: bool, key: str) -> None:
        """To the agent of a task that runs, waits or has ended."""
        tasks = sorted(self.sim.store.tasks.values(), key=lambda task: task.id)
        self.submit(ContinueTask(self.next_reply(), tasks[pick % len(tasks)], "more", caller, fork, key))

    # Workers.

    @rule(
        worker=st.sampled_from(WORKERS),
        agents=st.sampled_from([AGENTS, ("a",), ("b",)]),
        slots=st.integers(0, 3),
        labels=st.sampled_from([{}, GPU]),
        features=st.sampled_from([NEW, NEW, OLD]),
        process=st.sampled_from(["p1", "p1", "p2", ""]),
        brought=st.integers(0, 2),
    )
    def connect(
        self,
        worker: str,
        agents: tuple[str, ...],
        slots: int,
        labels: Labels,
        features: frozenset[str],
        process: str,
        brought: int,
    ) -> None:
        """It brings some of its newest runs along, or of whoever else's."""
        self.sessions += 1
        self.workers[self.sessions] = worker
        runs = [LiveRun(run_id, 3) for run_id in sorted(self.owners)[-brought:]] if brought else []
        hello = self.sim.hello(*agents, slots=slots, labels=labels, features=features, process=process, live_runs=runs)
        self.submit(ConnectWorker(self.next_reply(), self.sessions, worker, hello))

    @rule(pick=PICK, status=st.sampled_from(WorkerStatus), slots=st.integers(0, 3))
    def beat(self, pick: int, status: WorkerStatus, slots: int) -> None:
        self.say(self.session(pick), Heartbeat(status, 0, slots))

    @precondition(lambda self: self.owners)
    @rule(pick=PICK, end=st.sampled_from([None, RunStatus.COMPLETED, RunStatus.FAILED]))
    def work(self, pick: int, end: RunStatus | None) -> None:
        """The worker that was given a run does what it should."""
        run_id = self.run_id(pick)
        words: list[FromWorker] = [RunReport(run_id, RunStatus.RUNNING), OutputSegment(run_id, 0, ("x", "y"))]
        self.say(self.owners[run_id], *words, *([RunReport(run_id, end)] if end else []))

    @precondition(lambda self: self.owners)
    @rule(pick=PICK, status=st.sampled_from(RunStatus), failure=FAILURES)
    def report(self, pick: int, status: RunStatus, failure: FailureKind | None) -> None:
        """It says what it likes of the run, be it over or not."""
        run_id = self.run_id(pick)
        self.say(self.owners[run_id], RunReport(run_id, status, "", failure))

    @precondition(lambda self: self.owners)
    @rule(pick=PICK, first_seq=st.integers(0, 4), contents=st.lists(st.sampled_from(["", "x"]), max_size=3))
    def output(self, pick: int, first_seq: int, contents: list[str]) -> None:
        run_id = self.run_id(pick)
        event = RunEvent(run_id, RunEventType.OUTPUT_GENERATED)
        self.say(self.owners[run_id], OutputSegment(run_id, first_seq, tuple(contents)), event)

    @precondition(lambda self: self.owners)
    @rule(pick=PICK)
    def talk(self, pick: int) -> None:
        """It has a session, and takes what was sent for the run."""
        run_id = self.run_id(pick)
        active = self.sim.core._runs.of_run(run_id)
        opened = RunEvent(run_id, RunEventType.SESSION_INITIALIZED, {"session_id": f"s-{run_id}"})
        taken = [RunMessage(run_id, ChatRole.USER, "more", id=id) for id in (active.asked if active else ())]
        self.say(self.owners[run_id], RunReport(run_id, RunStatus.RUNNING), opened, *taken)

    @precondition(lambda self: self.owners)
    @rule(pick=PICK, thief=PICK, status=st.sampled_from(RunStatus))
    def meddle(self, pick: int, thief: int, status: RunStatus) -> None:
        """A worker speaks of a run that is another's: nothing of that run changes."""
        self.turn()
        run_id, session = self.run_id(pick), self.session(thief)
        if self.workers[self.owners[run_id]] == self.workers[session]:
            return
        before = self.runs()[run_id]
        self.say(session, RunReport(run_id, status), OutputSegment(run_id, 0, ("stolen",)))
        self.turn()
        assert self.runs()[run_id] == before

    # The world.

    @rule(overtake=st.booleans())
    def turn(self, overtake: bool = False) -> None:
        inputs, self.inbox = self.inbox, []
        capacity = {worker.session: worker.max_concurrent_runs for worker in self.sim.core._fleet.all()}
        for session, request in self.sim.core._attendance._arriving.items():
            capacity[session] = request.hello.max_concurrent_runs
        self.note(self.sim.turn(*inputs, overtake=overtake), inputs, capacity)

    @rule()
    def settle(self) -> None:
        self.turn()
        while self.sim.answers:
            self.turn()

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.sim.mono += seconds
        self.turn()

    @rule(pick=PICK, trouble=st.sampled_from(["vanish", "greet twice", "restart"]))
    def trouble(self, pick: int, trouble: str) -> None:
        """A stream breaks, a worker breaks the protocol, or the control plane dies with a turn that was not stored."""
        if trouble == "vanish":
            self.submit(WorkerGone(self.session(pick)))
        elif trouble == "greet twice":
            self.say(self.session(pick), self.sim.hello("a"))
        else:
            self.sim.core.handle(self.inbox, self.sim.now)
            self.inbox = []
            self.sim.restart()

    # What holds over time.

    @invariant()
    def stories_are_whole(self) -> None:
        store = self.sim.store
        assert store.stories.keys() == store.tasks.keys()
        for task in store.tasks.values():
            check_story(task, store.stories[task.id])

    @invariant()
    def what_has_ended_never_changes(self) -> None:
        for task_id, (task, entries) in self.ended.items():
            assert self.sim.task(task_id) == task
            assert len(self.sim.story(task_id)) == entries
        for task in self.sim.store.tasks.values():
            if task.status.is_terminal:
                self.ended[task.id] = (task, len(self.sim.story(task.id)))

    @invariant()
    def what_somebody_cancelled_has_no_other_end(self) -> None:
        for task in self.sim.store.tasks.values():
            assert not task.cancel_requested or task.status in (TaskStatus.RUNNING, TaskStatus.CANCELLED)

    @invariant()
    def who_waited_too_long_has_had_no_run_since(self) -> None:
        for task in self.sim.store.tasks.values():
            assert (task.failure is None) is not bool(task.error)
            if task.failure is not None:
                assert task.status is TaskStatus.FAILED
            if task.failure is FailureKind.QUEUE_TIMEOUT:
                assert (task.status, task.finished_at_ms >= task.expires_at_ms > 0) == (TaskStatus.FAILED, True)

    @invariant()
    def no_follow_up_waits_for_a_worker_that_is_gone(self) -> None:
        """Unless nobody has had the time to come since the control plane began."""
        if not self.inbox and not self.sim.answers:
            known, missed = self.sim.core._fleet, self.sim.core._stranding._missed
            for task in self.sim.store.waiting():
                holder = task.spec.holder
                assert not holder or known.of_id(holder) is not None or missed.of(holder) is not None

    @invariant()
    def no_more_attempts_than_allowed(self) -> None:
        for task in self.sim.store.tasks.values():
            started = [run for run in task.runs if run.failure is not FailureKind.REJECTED]
            assert len(started) <= task.spec.max_attempts

    def teardown(self) -> None:
        """All fall silent, and no run stays with them; then a good worker comes, and no task was lost."""
        self.settle()
        self.sim.wait(self.timers.follow_up)
        assert not any(run.asked for run in self.sim.core._runs._by_run.values()), "somebody waits for an answer"
        self.sim.wait(200 + FOLLOW_UP_WAIT_MS / 1000)
        assert not self.sim.store.having(TaskStatus.RUNNING)
        assert not [task for task in self.sim.store.waiting() if task.expires_at_ms]
        worker = self.sim.connect("good", AGENTS, slots=100, labels=GPU)
        for message in self.sim.heard(worker):
            if isinstance(message, AssignRun):
                self.sim.report(worker, message.run_id, RunStatus.COMPLETED)
        assert all(task.status.is_terminal for task in self.sim.store.tasks.values())

    # Helpers.

    def next_reply(self) -> int:
        self.replies -= 1
        return self.replies

    def session(self, pick: int) -> int:
        return 1 + pick % self.sessions

    def run_id(self, pick: int) -> str:
        """Mostly one that is under way, but also the newest of those that are over."""
        under_way = sorted(self.owners.keys() & self.sim.core._runs._by_run.keys())
        runs = [*sorted(self.owners)[-2:], *under_way * 2]
        return runs[pick % len(runs)]

    def runs(self) -> dict[str, Run]:
        return {run.id: run for task in self.sim.store.tasks.values() for run in task.runs}

    def say(self, session: int, *messages: FromWorker) -> None:
        self.submit(WorkerSpoke(session, messages))

    def submit(self, *inputs: Input) -> None:
        self.inbox += inputs
        if len(self.inbox) >= self.inputs_a_turn:
            self.turn()

    def note(self, turn: Turn, inputs: list[Input], capacity: dict[int, int]) -> None:
        """Who was given what; and nobody was given more than it takes, or took at any time in this turn."""
        for item in inputs:
            if isinstance(item, ConnectWorker):
                capacity[item.session] = item.hello.max_concurrent_runs
            if isinstance(item, WorkerSpoke):
                beats = [message for message in item.messages if isinstance(message, Heartbeat)]
                said = [beat.max_concurrent_runs for beat in beats]
                capacity[item.session] = max([capacity.get(item.session, 0), *said])
        for session, messages in turn.sends.items():
            runs = {message.run_id for message in messages if isinstance(message, AssignRun)}
            for run_id in runs & self.owners.keys():
                assert self.workers[self.owners[run_id]] == self.workers[session], "a run is given to two workers"
            new = runs - self.owners.keys()
            self.owners |= dict.fromkeys(runs, session)
            worker = self.sim.core._fleet.of_session(session)
            assert not new or worker is None or worker.active_runs <= capacity[session]


class ImpatientHistory(ControlPlaneHistory):
    """The same where nobody may be away for a while."""

    timers = ControlPlaneTimers(grace=0.0)


for history in (ControlPlaneHistory, ImpatientHistory):
    history.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestAnyHistory = ControlPlaneHistory.TestCase
TestAnyHistoryWithoutAGrace = ImpatientHistory.TestCase
