from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from taskrun.domain.daemon.outbox import CAPACITY
from taskrun.domain.errors import InvalidArgument, PermissionDenied, TaskRunError, Unauthenticated, Unavailable
from taskrun.domain.limits import MAX_CHUNK_BYTES
from taskrun.domain.protocol import (
    FEATURES,
    MESSAGE_WEIGHT,
    AssignRun,
    CancelRun,
    ContinueRun,
    FromWorker,
    Heartbeat,
    HeartbeatAck,
    Hello,
    HelloAck,
    LiveRun,
    RunDirective,
    RunReport,
    Stored,
    ToWorker,
)
from taskrun.domain.records import AgentSpec, Consumption, OutputSegment, RunEvent, RunMessage, Usage, WorkerInfo
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, Verdict, WorkerStatus
from taskrun.domain.timers import DaemonTimers
from taskrun.domain.usage import told_in
from taskrun.engine.daemon import Daemon
from taskrun.ports.agent_events import OutputGenerated, Thought, ToolRequested, UsageReported
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink
from taskrun.testing.clock import JumpingClock

if TYPE_CHECKING:
    from loguru import Record

Behaviour = Callable[[AgentRequest, AgentSink], Awaitable[AgentResult]]


class ScriptedLink:
    """The control plane's end is the test."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[Sequence[ToWorker] | BaseException | None] = asyncio.Queue()
        self._heard: asyncio.Queue[FromWorker] = asyncio.Queue()
        self.batches: list[Sequence[FromWorker]] = []
        self.closed = False
        self.output: dict[str, list[str]] = {}
        #: While it is not set the transport takes nothing.
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.send_error: BaseException | None = None
        self.close_error: BaseException | None = None

    async def incoming(self) -> AsyncIterator[Sequence[ToWorker]]:
        while (item := await self._incoming.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    async def send(self, messages: Sequence[FromWorker]) -> int:
        await self.flowing.wait()
        if self.send_error is not None:
            raise self.send_error
        self.batches.append(messages)
        for message in messages:
            self._heard.put_nowait(message)
        return 1

    async def close(self) -> None:
        self.closed = True
        if self.close_error is not None:
            raise self.close_error

    def say(self, *messages: ToWorker) -> None:
        self._incoming.put_nowait(messages)

    def assign(self, *run_ids: str, timeout_ms: int = 0) -> None:
        self.say(*(AssignRun(run_id, "task", "agent", "1", timeout_ms=timeout_ms) for run_id in run_ids))

    def welcome(self, *directives: RunDirective) -> None:
        """As a control plane does that lets runs outlive a stream."""
        self.say(HelloAck("w", frozenset(FEATURES), directives))

    def end(self, error: BaseException | None = None) -> None:
        self._incoming.put_nowait(error)

    async def hear(self) -> FromWorker:
        """The next message that is no heartbeat."""
        while isinstance(message := await self._heard.get(), Heartbeat):
            pass
        return message

    async def hear_beat(self) -> Heartbeat:
        """The next heartbeat, other messages passed over."""
        while not isinstance(message := await self._heard.get(), Heartbeat):
            pass
        return message

    async def hear_end(self) -> tuple[RunReport, dict[str, list[str]]]:
        """The next end of a run, and all output so far."""
        while True:
            message = await self.hear()
            if isinstance(message, OutputSegment):
                self.output.setdefault(message.run_id, []).extend(message.contents)
            elif isinstance(message, RunReport) and message.status is not RunStatus.RUNNING:
                return message, self.output


class ScriptedConnector:
    """Answers each attempt to connect with what comes next; a future is waited for."""

    def __init__(self, *answers: ScriptedLink | BaseException | asyncio.Future[ScriptedLink]) -> None:
        self._answers = list(answers)
        self.hellos: list[Hello] = []

    async def connect(self, hello: Hello) -> ScriptedLink:
        self.hellos.append(hello)
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, ScriptedLink) else await answer


class ScriptedAgent:
    """Does as it is told. Counts who is in."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.spec = AgentSpec("agent")
        self._behaviour = behaviour
        self.started: list[str] = []
        self.active = 0

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        self.started.append(request.run_id)
        self.active += 1
        try:
            return await self._behaviour(request, sink)
        finally:
            self.active -= 1


class World:
    """A daemon that runs, with one agent, on a clock that is moved by hand."""

    def __init__(
        self,
        connector: ScriptedConnector,
        behaviour: Behaviour,
        slots: int = 10,
        process: str = "",
        others: Sequence[ScriptedConnector] = (),
    ) -> None:
        self.connector, self.clock, self.agent = connector, JumpingClock(), ScriptedAgent(behaviour)
        connectors = [connector, *others]
        self.daemon = Daemon(
            connectors, [self.agent], WorkerInfo("host", "1"), self.clock, DaemonTimers(), slots, lambda: 0.5, process
        )
        self.running = asyncio.create_task(self.daemon.run())

    async def settle(self) -> None:
        """Everything that can go on has gone on."""
        await self.clock.advance(0)

    async def __aenter__(self) -> World:
        await self.settle()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        assert self.agent.active == 0
        await self.settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def succeed(request: AgentRequest, sink: AgentSink) -> AgentResult:
    return AgentResult()


async def hang(request: AgentRequest, sink: AgentSink) -> AgentResult:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def link() -> ScriptedLink:
    return ScriptedLink()


@contextmanager
def logged(format: str, which: Callable[[Record], bool]) -> Iterator[list[str]]:
    """The lines of the log that are of interest."""
    lines: list[str] = []
    logger.enable("taskrun")
    handler = logger.add(lines.append, format=format, filter=which)
    yield lines
    logger.remove(handler)
    # Embedded, the library is silent unless its user asks.
    if "taskrun.local" in sys.modules:
        logger.disable("taskrun")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged about runs."""
    with logged("{extra[task_id]} {extra[run_id]} {message}", lambda record: "run_id" in record["extra"]) as lines:
        yield lines


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What is logged as a warning."""
    with logged("{message}", lambda record: record["level"].name == "WARNING") as lines:
        yield lines


# Runs.


async def test_it_announces_its_agents_and_beats_at_once(link: ScriptedLink) -> None:
    connector = ScriptedConnector(link)
    async with World(connector, succeed, slots=3) as world:
        assert (await link.hear_beat()).status is WorkerStatus.IDLE
        (hello,) = connector.hellos
        assert hello == Hello(WorkerInfo("host", "1", (AgentSpec("agent"),)), frozenset(FEATURES), 3, stream=1)
        assert world.daemon.connected


async def test_a_run_is_reported_running_then_its_output_then_its_end(link: ScriptedLink) -> None:
    async def talk(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.text("a")
        await sink.text("")
        await sink.text("b")
        await sink.event(ToolRequested("ls"))
        await sink.text("c")
        return AgentResult(usage=Usage(1, 2), session_id="s")

    async with World(ScriptedConnector(link), talk):
        link.assign("r")
        assert [await link.hear() for _ in range(6)] == [
            RunReport("r", RunStatus.RUNNING, seq=0),
            OutputSegment("r", 1, ("a", "b")),
            RunEvent("r", RunEventType.TOOL_REQUESTED, {"tool": "ls"}, "r-0", seq=3),
            OutputSegment("r", 4, ("c",)),
            RunMessage("r", ChatRole.ASSISTANT, "abc", seq=5),
            RunReport("r", RunStatus.COMPLETED, usage=Usage(1, 2), session_id="s", seq=6),
        ]


async def test_a_run_that_is_stopped_without_a_result_has_the_usage_that_its_agent_told(link: ScriptedLink) -> None:
    async def work(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.event(UsageReported("opus", 1, 2))
        await sink.event(UsageReported("opus", 10, 20, 3, 4, 0.5))
        await sink.text("at work")
        await asyncio.Event().wait()
        raise AssertionError

    async with World(ScriptedConnector(link), work):
        link.assign("r")
        while not isinstance(await link.hear(), OutputSegment):
            pass
        link.say(CancelRun("r", "enough"))
        report, _ = await link.hear_end()
    told = Usage(10, 20, 3, 4, 0.5, {"opus": Consumption(10, 20, 3, 4, 0.5)})
    assert (report.status, report.usage) == (RunStatus.CANCELLED, told)


async def test_a_result_s_usage_goes_before_what_was_told_on_the_way(link: ScriptedLink) -> None:
    async def work(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.event(UsageReported("opus", 1, 2))
        return AgentResult(usage=Usage(3))

    async with World(ScriptedConnector(link), work):
        link.assign("r")
        report, _ = await link.hear_end()
    assert report.usage == Usage(3)


async def test_what_is_told_in_a_later_turn_is_what_the_run_has_consumed_so_far(link: ScriptedLink) -> None:
    async def work(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.event(UsageReported("opus", 10, 20, 3, 4, 0.5))
        await sink.text("at work")
        if request.session_id:
            await asyncio.Event().wait()
        return AgentResult(session_id="s")

    async with World(ScriptedConnector(link), work):
        link.say(AssignRun("r", "task", "agent", "1"), ContinueRun("r", "more", "m"))
        told: list[RunEvent] = []
        while len(told) < 2:
            if isinstance(message := await link.hear(), RunEvent):
                told.append(message)
        link.say(CancelRun("r", "enough"))
        report, _ = await link.hear_end()
    both = Consumption(20, 40, 6, 8, 1.0)
    assert told_in(told[-1].metadata) == report.usage == Usage(20, 40, 6, 8, 1.0, {"opus": both})


async def test_a_follow_up_is_the_agents_next_turn_in_its_session(link: ScriptedLink) -> None:
    heard: list[tuple[str, str, bool]] = []
    hold = asyncio.Event()

    async def talk(request: AgentRequest, sink: AgentSink) -> AgentResult:
        heard.append((request.input_json, request.session_id, request.fork))
        await sink.event(OutputGenerated(f"whole {request.input_json}", 100_000))
        await sink.text("a piece")
        await hold.wait()
        return AgentResult(usage=Usage(1, 2), session_id=f"s{len(heard)}")

    async with World(ScriptedConnector(link), talk):
        link.say(AssignRun("r", "task", "agent", "1", session_id="s0", fork=True))
        assert [await link.hear() for _ in range(3)]
        link.say(ContinueRun("r", "and then?", "m-1"))
        assert await link.hear() == RunMessage("r", ChatRole.USER, "and then?", seq=3, id="m-1")
        hold.set()
        words = [await link.hear() for _ in range(5)]
        assert isinstance(words[0], RunMessage)
        assert words[0].content == "whole 1a piece ... (cut: it has 100007 characters)"
        assert [word.id for word in words if isinstance(word, RunEvent)] == ["r-1"]
        assert words[-1] == RunReport("r", RunStatus.COMPLETED, usage=Usage(2, 4), session_id="s2", seq=8)
    assert heard == [("1", "s0", True), ('"and then?"', "s1", False)]


async def test_an_agents_own_failure_is_reported_as_it_says(link: ScriptedLink) -> None:
    async def fail(request: AgentRequest, sink: AgentSink) -> AgentResult:
        return AgentResult(FailureKind.REFUSED, "no\n" + "x" * 5000)

    async with World(ScriptedConnector(link), fail):
        link.assign("r")
        report, _ = await link.hear_end()
        assert (report.status, report.failure) == (RunStatus.FAILED, FailureKind.REFUSED)
        assert report.error.startswith("no\nxxx")
        assert len(report.error) == 4096


async def test_an_exception_in_an_agent_is_told_in_one_line_and_its_traceback_stays_here(
    link: ScriptedLink, lines: list[str]
) -> None:
    async def crash(request: AgentRequest, sink: AgentSink) -> AgentResult:
        raise ValueError("bad\nvery bad")

    async with World(ScriptedConnector(link), crash):
        link.assign("r")
        report, _ = await link.hear_end()
    assert report == RunReport(
        "r", RunStatus.FAILED, "The agent failed unexpectedly: ValueError: bad", FailureKind.INTERNAL, seq=1
    )
    assert lines[0].startswith("task r the agent failed unexpectedly")
    assert "Traceback" in lines[0]


async def test_what_an_agent_logs_says_which_run_it_is_about(link: ScriptedLink, lines: list[str]) -> None:
    async def log(request: AgentRequest, sink: AgentSink) -> AgentResult:
        logger.info("hello")
        return AgentResult()

    async with World(ScriptedConnector(link), log):
        link.assign("r")
        await link.hear_end()
    assert lines[0] == "task r hello\n"


async def test_an_agent_that_fails_before_its_first_await_fails_alone(link: ScriptedLink) -> None:
    def crash(request: AgentRequest, sink: AgentSink) -> Awaitable[AgentResult]:
        raise ValueError("at once")

    async with World(ScriptedConnector(link), crash) as world:
        link.assign("r")
        report, _ = await link.hear_end()
        assert report.failure is FailureKind.INTERNAL
        assert world.daemon.connected


async def test_an_agent_that_returns_no_result_is_an_internal_failure(link: ScriptedLink) -> None:
    async def forget(request: AgentRequest, sink: AgentSink) -> AgentResult:
        return None  # type: ignore[return-value]

    async with World(ScriptedConnector(link), forget):
        link.assign("r")
        report, _ = await link.hear_end()
        assert (report.failure, report.error) == (
            FailureKind.INTERNAL,
            "The agent returned NoneType, not an AgentResult.",
        )


async def test_an_agent_that_cancels_itself_is_an_internal_failure(link: ScriptedLink) -> None:
    async def give_up(request: AgentRequest, sink: AgentSink) -> AgentResult:
        raise asyncio.CancelledError

    async with World(ScriptedConnector(link), give_up):
        link.assign("r")
        report, _ = await link.hear_end()
        assert (report.status, report.failure) == (RunStatus.FAILED, FailureKind.INTERNAL)


async def test_a_cancelled_run_is_reported_only_after_its_agent_is_really_gone(link: ScriptedLink) -> None:
    gone = asyncio.Event()

    async def linger(request: AgentRequest, sink: AgentSink) -> AgentResult:
        try:
            return await hang(request, sink)
        finally:
            await gone.wait()

    async with World(ScriptedConnector(link), linger) as world:
        link.assign("r")
        assert await link.hear() == RunReport("r", RunStatus.RUNNING, seq=0)
        link.say(CancelRun("r", "not needed"))
        await world.settle()
        assert not any(isinstance(m, RunReport) and m.status.is_terminal for batch in link.batches for m in batch)
        gone.set()
        assert await link.hear() == RunReport("r", RunStatus.CANCELLED, "not needed", FailureKind.CANCELLED, seq=1)


async def test_a_run_cancelled_before_its_agent_began_never_begins_and_is_reported(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        link.say(AssignRun("r", "task", "agent", "1"), CancelRun("r", "at once"))
        report, _ = await link.hear_end()
        assert report.status is RunStatus.CANCELLED
        assert world.agent.started == []


async def test_the_same_run_delivered_twice_starts_one_agent(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        link.assign("1", "1")
        await link.hear_end()
        link.assign("1", "2")
        await link.hear_end()
        assert world.agent.started == ["1", "2"]


async def test_the_eleventh_run_is_refused_by_the_worker_itself(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign(*map(str, range(11)))
        report, _ = await link.hear_end()
        assert (report.run_id, report.failure) == ("10", FailureKind.REJECTED)
        assert len(world.agent.started) == 10


async def test_a_run_that_takes_too_long_is_stopped_and_reported_as_a_timeout(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("r", timeout_ms=1000)
        await world.settle()
        await world.clock.advance(1.1)
        report, _ = await link.hear_end()
        assert (report.status, report.failure) == (RunStatus.FAILED, FailureKind.TIMEOUT)


# Output.


async def test_a_transport_that_takes_nothing_makes_the_agent_wait_and_loses_nothing(link: ScriptedLink) -> None:
    written = count()
    texts = [f"{number} " for number in range(50_000)]

    async def chatter(request: AgentRequest, sink: AgentSink) -> AgentResult:
        for text in texts:
            await sink.text(text)
            next(written)
        return AgentResult()

    async with World(ScriptedConnector(link), chatter) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("r")
        await world.settle()
        # One write is stuck, and behind it one outbox is full.
        assert CAPACITY // MESSAGE_WEIGHT <= next(written) < 2 * CAPACITY // MESSAGE_WEIGHT + 100
        link.flowing.set()
        report, output = await link.hear_end()
        assert report.status is RunStatus.COMPLETED
        assert output["r"] == texts
        assert len(link.batches) < 20


async def test_what_gathered_during_a_write_goes_in_one(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("1")
        await world.settle()
        link.assign("2")
        await world.settle()
        link.assign("3")
        await world.settle()
        link.flowing.set()
        for _ in range(3):
            await link.hear_end()
        # The heartbeat; the first run, whose agent ended at once; and the two that came while that was written.
        assert [len(batch) for batch in link.batches] == [1, 2, 4]


async def test_an_agent_that_fills_the_outbox_over_and_over_does_not_keep_others_out(link: ScriptedLink) -> None:
    async def chatter(request: AgentRequest, sink: AgentSink) -> AgentResult:
        while True:
            await sink.text("x" * 1000)

    async with World(ScriptedConnector(link), chatter, slots=4):
        link.assign("1", "2", "3", "4")
        seen: dict[str, int] = {}
        while len(seen) < 4 or min(seen.values()) < 3:
            message = await link.hear()
            if isinstance(message, OutputSegment):
                seen[message.run_id] = seen.get(message.run_id, 0) + 1
            assert sum(seen.values()) < 40


async def test_an_agent_that_waits_for_room_can_be_cancelled_and_its_place_passes_on(link: ScriptedLink) -> None:
    async def chatter(request: AgentRequest, sink: AgentSink) -> AgentResult:
        for _ in range(40_000):
            await sink.text("x")
        return AgentResult()

    async with World(ScriptedConnector(link), chatter) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("1", "2", "3")
        await world.settle()
        assert world.agent.active == 3
        link.say(CancelRun("2", ""))
        await world.settle()
        assert world.agent.active == 2
        link.flowing.set()
        ends = [(await link.hear_end())[0] for _ in range(3)]
        assert {end.run_id: end.status for end in ends} == {
            "1": RunStatus.COMPLETED,
            "2": RunStatus.CANCELLED,
            "3": RunStatus.COMPLETED,
        }


async def test_a_text_over_the_chunk_limit_is_split_between_characters(link: ScriptedLink) -> None:
    text = "é€😀" * 40_000

    async def write(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.text(text)
        return AgentResult()

    async with World(ScriptedConnector(link), write):
        link.assign("r")
        _, output = await link.hear_end()
        assert "".join(output["r"]) == text
        assert all(len(chunk.encode()) <= MAX_CHUNK_BYTES for chunk in output["r"])


async def test_an_event_waits_for_room_and_its_long_values_are_cut(link: ScriptedLink) -> None:
    async def report(request: AgentRequest, sink: AgentSink) -> AgentResult:
        for _ in range(2000):
            await sink.event(Thought("x" * 9000))
        return AgentResult()

    async with World(ScriptedConnector(link), report) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("r")
        await world.settle()
        assert world.agent.active == 1
        link.flowing.set()
        await link.hear()
        event = await link.hear()
        assert isinstance(event, RunEvent)
        assert len(event.metadata["text"]) == 8192
        await link.hear_end()


async def test_what_an_agent_leaves_behind_can_neither_speak_nor_block_the_worker(link: ScriptedLink) -> None:
    left: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def haunt(sink: AgentSink) -> None:
        await over.wait()
        while True:
            await sink.text("boo")
            await sink.event(OutputGenerated())

    async def leave(request: AgentRequest, sink: AgentSink) -> AgentResult:
        if request.run_id == "1":
            left.append(asyncio.create_task(haunt(sink)))
        return AgentResult()

    async with World(ScriptedConnector(link), leave):
        link.assign("1")
        await link.hear_end()
        over.set()
        link.assign("2")
        assert await link.hear() == RunReport("2", RunStatus.RUNNING, seq=0)
        assert await link.hear() == RunReport("2", RunStatus.COMPLETED, seq=1)
        left[0].cancel()


async def test_a_control_plane_that_assigns_without_listening_has_to_wait(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed, slots=1) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("first")
        await world.settle()
        for batch in range(24):
            # Each is refused with a report, for want of such an agent.
            link.say(*(AssignRun(f"{batch}-{number}", "t", "other", "1") for number in range(1000)))
        await world.settle()
        assert link._incoming.qsize() > 0
        link.flowing.set()
        await world.settle()
        assert link._incoming.qsize() == 0


# The link.


async def test_heartbeats_go_on_as_time_passes(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        first = await link.hear_beat()
        await world.clock.advance(15)
        second = await link.hear_beat()
        assert second.timestamp_ms - first.timestamp_ms >= 14_999


@pytest.mark.parametrize("error", [None, Unavailable("reset"), asyncio.CancelledError()])
async def test_a_broken_stream_stops_the_runs_and_the_daemon_comes_back_when_they_are_gone(
    link: ScriptedLink, error: BaseException | None
) -> None:
    gone, again = asyncio.Event(), ScriptedLink()

    async def linger(request: AgentRequest, sink: AgentSink) -> AgentResult:
        try:
            return await hang(request, sink)
        finally:
            await gone.wait()

    async with World(ScriptedConnector(link, again), linger) as world:
        link.assign("r")
        await link.hear()
        link.end(error)
        await world.settle()
        assert link.closed
        assert not world.daemon.connected
        await world.clock.advance(60)
        assert len(world.connector.hellos) == 1
        gone.set()
        assert (await again.hear_beat()).active_runs == 0
        # Nothing of the lost run is said over the new link.
        again.assign("2")
        assert await again.hear() == RunReport("2", RunStatus.RUNNING, seq=0)


async def test_a_run_goes_on_while_the_stream_is_broken_and_says_on_the_next_what_was_not_stored(
    link: ScriptedLink,
) -> None:
    go_on, again = asyncio.Event(), ScriptedLink()

    async def talk(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await sink.text("before")
        await go_on.wait()
        await sink.text("after")
        return AgentResult()

    async with World(ScriptedConnector(link, again), talk, process="p") as world:
        link.welcome()
        link.assign("r")
        await world.settle()
        link.say(Stored(len(link.batches)))
        link.end()
        await world.settle()
        go_on.set()
        await world.clock.advance(3)
        assert world.connector.hellos[1].live_runs == (LiveRun("r", 4),)
        assert [hello.stream for hello in world.connector.hellos] == [1, 2]
        again.welcome(RunDirective("r", Verdict.GO_ON, 2))
        report, output = await again.hear_end()
        assert (report.seq, output) == (3, {"r": ["after"]})


async def test_a_control_plane_that_does_not_take_what_is_said_is_not_told_again(link: ScriptedLink) -> None:
    again = ScriptedLink()
    async with World(ScriptedConnector(link, again), hang, process="p") as world:
        link.welcome()
        link.assign("r")
        await world.settle()
        link.end(InvalidArgument("nonsense"))
        await world.clock.advance(3)
        assert world.agent.active == 0
        assert world.connector.hellos[1].live_runs == ()


async def test_a_write_that_fails_breaks_the_link_too(link: ScriptedLink) -> None:
    again = ScriptedLink()
    link.send_error = Unavailable("reset")
    async with World(ScriptedConnector(link, again), succeed) as world:
        assert link.closed
        await world.clock.advance(3)
        await again.hear_beat()


async def test_an_agent_that_waits_for_room_when_the_link_breaks_is_let_go(link: ScriptedLink) -> None:
    async def chatter(request: AgentRequest, sink: AgentSink) -> AgentResult:
        while True:
            try:
                await sink.text("x" * 1000)
            except asyncio.CancelledError:
                # It has a last word, which nobody hears.
                await sink.text("bye")
                raise

    async with World(ScriptedConnector(link), chatter) as world:
        await link.hear_beat()
        link.flowing.clear()
        link.assign("1", "2")
        await world.settle()
        link.end()
        await world.settle()
        assert world.agent.active == 0


async def test_after_attempts_that_failed_it_tries_again_later_and_later(link: ScriptedLink) -> None:
    connector = ScriptedConnector(Unavailable("down"), Unavailable("down"), link)
    async with World(connector, succeed) as world:
        await world.clock.advance(2.6)
        assert len(connector.hellos) == 2
        await world.clock.advance(2.6)
        assert len(connector.hellos) == 2
        await world.clock.advance(2.6)
        await link.hear_beat()


async def test_where_one_control_plane_cannot_be_reached_the_next_is_and_nothing_is_wrong(
    link: ScriptedLink, warnings: list[str]
) -> None:
    dead, live = ScriptedConnector(Unavailable("A is dead.")), ScriptedConnector(link)
    async with World(dead, succeed, others=[live]) as world:
        assert world.daemon.connected
        await world.clock.advance(15)
    assert len(live.hellos) == 1
    assert warnings == []


async def test_when_all_fail_one_line_says_of_each_why(warnings: list[str]) -> None:
    down = [ScriptedConnector(*[Unavailable(f"{name} is down.")] * 2) for name in "AB"]
    async with World(down[0], succeed, others=down[1:]) as world:
        await world.clock.advance(2.4)
        assert [len(connector.hellos) for connector in down] == [1, 1]
        await world.clock.advance(0.2)
        assert [len(connector.hellos) for connector in down] == [2, 2]
    assert warnings == ["cannot connect: A is down. B is down.\n"] * 2


async def test_a_control_plane_that_gives_runs_to_others_too_early_is_told_of_once(
    link: ScriptedLink, warnings: list[str]
) -> None:
    """With 90 s, a heartbeat of 15 and 10 for the processes they are surely gone after 115."""
    async with World(ScriptedConnector(link), succeed, process="p") as world:
        for grace_ms in (0, 115_001, 115_000, 9000, 115_000):
            link.say(HelloAck("w", frozenset(FEATURES), grace_ms=grace_ms))
        await world.settle()
    line, other = warnings
    assert "after 9 s (--worker-grace)" in other
    assert "after 115 s (--resume-timeout, --heartbeat and --stop-grace)" in line
    assert "after 115 s (--worker-grace)" in line


async def test_a_run_goes_on_at_another_control_plane_as_soon_as_its_own_is_gone() -> None:
    ways = ScriptedLink(), ScriptedLink()
    go_on = asyncio.Event()

    async def talk(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await go_on.wait()
        return AgentResult()

    first, second = (ScriptedConnector(way) for way in ways)
    async with World(first, talk, process="p", others=[second]) as world:
        here, there = (0, 1) if first.hellos else (1, 0)
        ways[here].welcome()
        ways[here].assign("r")
        await ways[here].hear()
        ways[here].end()
        await world.settle()
        connectors = (first, second)
        assert connectors[there].hellos[0].live_runs == (LiveRun("r", 1),)
        ways[there].welcome(RunDirective("r", Verdict.GO_ON, 1))
        go_on.set()
        report, _ = await ways[there].hear_end()
    assert (report.run_id, report.status) == ("r", RunStatus.COMPLETED)
    assert world.agent.started == ["r"]


async def test_a_control_plane_that_falls_silent_is_left_and_its_runs_are_stopped(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.say(HelloAck("w"), HeartbeatAck((await link.hear_beat()).timestamp_ms))
        link.assign("r")
        await link.hear()
        for _ in range(4):
            assert not link.closed
            await world.clock.advance(15)
        assert link.closed
        assert world.agent.active == 0


@pytest.mark.parametrize("error", [PermissionDenied("no"), Unauthenticated("who?")])
async def test_a_worker_that_is_refused_for_good_ends_with_the_reason(link: ScriptedLink, error: TaskRunError) -> None:
    async with World(ScriptedConnector(error), succeed) as world:
        with pytest.raises(type(error), match=error.message.replace("?", ".")):
            await world.running
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("r")
        await link.hear()
        link.end(error)
        with pytest.raises(type(error)):
            await world.running
        assert world.agent.active == 0
        assert link.closed


async def test_what_a_stream_says_after_it_was_left_changes_nothing(link: ScriptedLink) -> None:
    link.flowing.clear()
    async with World(ScriptedConnector(link, ScriptedLink()), succeed) as world:
        # The reader finds the stream over while the writer is stuck in it, and is cancelled there.
        link.end()
        await world.clock.advance(3)
        assert world.daemon.connected


async def test_a_stream_that_opens_when_its_runs_were_given_up_is_left_until_their_agents_are_gone(
    link: ScriptedLink,
) -> None:
    late: asyncio.Future[ScriptedLink] = asyncio.get_running_loop().create_future()
    useless, again = ScriptedLink(), ScriptedLink()
    gone = asyncio.Event()

    async def linger(request: AgentRequest, sink: AgentSink) -> AgentResult:
        try:
            return await hang(request, sink)
        finally:
            await gone.wait()

    async with World(ScriptedConnector(link, late, again), linger, process="p") as world:
        link.welcome()
        link.assign("r")
        await world.settle()
        link.end()
        await world.clock.advance(150)
        late.set_result(useless)
        await world.clock.advance(30)
        assert (useless.closed, useless.batches, world.daemon.connected) == (True, [], False)
        gone.set()
        await world.settle()
        assert world.daemon.connected
        assert world.connector.hellos[2].live_runs == ()


# What nobody expected.


async def test_a_connector_that_breaks_its_contract_ends_the_daemon_with_its_error() -> None:
    async with World(ScriptedConnector(ValueError("bug")), succeed) as world:
        with pytest.raises(ValueError, match="bug"):
            await world.running


async def test_a_link_that_breaks_its_contract_ends_the_daemon_and_its_agents(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("r")
        await link.hear()
        link.end(ValueError("bug"))
        with pytest.raises(ValueError, match="bug"):
            await world.running
        assert world.agent.active == 0
        assert link.closed


async def test_a_link_that_fails_to_close_ends_the_daemon_with_its_error(link: ScriptedLink) -> None:
    link.close_error = ValueError("bug")
    async with World(ScriptedConnector(link), succeed) as world:
        link.end()
        with pytest.raises(ValueError, match="bug"):
            await world.running


async def test_a_message_that_nobody_knows_ends_the_daemon_instead_of_being_lost(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        link.say("nonsense")  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            await world.running


async def test_two_agents_of_one_name_are_refused_at_once() -> None:
    agent = ScriptedAgent(succeed)
    with pytest.raises(InvalidArgument):
        Daemon([ScriptedConnector()], [agent, agent], WorkerInfo(), JumpingClock(), DaemonTimers(), 1, lambda: 0.5)


# The end.


async def test_a_drain_says_so_at_once_and_lets_the_runs_finish_and_sends_all_they_said(link: ScriptedLink) -> None:
    may_end = asyncio.Event()

    async def finish(request: AgentRequest, sink: AgentSink) -> AgentResult:
        await may_end.wait()
        await sink.text("last words")
        return AgentResult()

    async with World(ScriptedConnector(link), finish) as world:
        link.assign("1")
        await link.hear()
        world.daemon.drain()
        await world.settle()
        assert isinstance(beat := link.batches[-1][-1], Heartbeat)
        assert (beat.status, beat.active_runs) == (WorkerStatus.DRAINING, 1)
        link.assign("2")
        report, _ = await link.hear_end()
        assert (report.run_id, report.failure) == ("2", FailureKind.REJECTED)
        assert not world.running.done()
        may_end.set()
        await world.running
        report, output = await link.hear_end()
        assert (report.status, output) == (RunStatus.COMPLETED, {"1": ["last words"]})
        assert link.closed


async def test_a_drained_daemon_waits_until_its_last_report_is_known_to_have_arrived(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), succeed) as world:
        link.say(HeartbeatAck((await link.hear_beat()).timestamp_ms))
        await world.settle()
        world.daemon.drain()
        last = await link.hear_beat()
        await world.settle()
        assert not world.running.done()
        link.say(HeartbeatAck(last.timestamp_ms))
        await world.running


async def test_a_drain_that_takes_too_long_cancels_what_is_left(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("r")
        await link.hear()
        world.daemon.drain()
        await world.clock.advance(301)
        report, _ = await link.hear_end()
        assert report.status is RunStatus.CANCELLED
        await world.running


async def test_a_second_signal_cancels_the_runs_of_a_draining_daemon_at_once(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("1", "2")
        await link.hear()
        world.daemon.drain()
        world.daemon.cancel_runs()
        await world.running
        ends = {(await link.hear_end())[0].status for _ in range(2)}
        assert ends == {RunStatus.CANCELLED}


async def test_a_daemon_that_was_drained_before_it_ran_connects_to_nobody() -> None:
    connector = ScriptedConnector()
    daemon = Daemon([connector], [], WorkerInfo(), JumpingClock(), DaemonTimers(), 1, lambda: 0.5)
    daemon.drain()
    await daemon.run()
    assert connector.hellos == []


async def test_a_daemon_that_drains_while_it_connects_ends_at_once(link: ScriptedLink) -> None:
    answer: asyncio.Future[ScriptedLink] = asyncio.get_running_loop().create_future()
    async with World(ScriptedConnector(answer), succeed) as world:
        world.daemon.drain()
        await world.running
        assert answer.cancelled()


async def test_a_link_that_opens_just_when_the_daemon_ends_is_closed(link: ScriptedLink) -> None:
    answer: asyncio.Future[ScriptedLink] = asyncio.get_running_loop().create_future()
    async with World(ScriptedConnector(answer), succeed) as world:
        answer.set_result(link)
        await asyncio.sleep(0)
        world.daemon.drain()
        await world.running
        assert link.closed


async def test_a_daemon_that_is_cancelled_stops_its_agents_and_closes_its_link(link: ScriptedLink) -> None:
    async with World(ScriptedConnector(link), hang) as world:
        link.assign("r")
        await link.hear()
        world.running.cancel()
        await asyncio.wait([world.running])
        assert world.running.cancelled()
        assert world.agent.active == 0
        assert link.closed
