"""The codecs: what goes out comes back the same, and what does not fit is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import MAX_BACKEND_BYTES, MAX_NUMBER, to_bytes
from taskrun.adapters.grpc.codec_explanation import decode_explanation, encode_explanation
from taskrun.adapters.grpc.codec_orders import decode_to_worker, encode_to_worker
from taskrun.adapters.grpc.codec_runs import (
    MAX_ERROR_BYTES,
    decode_from_worker,
    decode_hello,
    encode_hello,
)
from taskrun.adapters.grpc.codec_story import decode_entries, encode_entry
from taskrun.adapters.grpc.codec_tasks import (
    decode_query,
    decode_spec,
    decode_task,
    encode_query,
    encode_spec,
    encode_task,
)
from taskrun.adapters.grpc.codec_workers import (
    WorkerQuery,
    decode_worker,
    decode_worker_query,
    encode_worker,
    encode_worker_query,
)
from taskrun.adapters.grpc.pages import MAX_PAGE_BYTES
from taskrun.adapters.grpc.speech import BatchSpeech, OldSpeech, Speech
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.limits import (
    MAX_INPUT_BYTES,
    MAX_LABEL_KEY,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_NAME,
    MAX_TIMEOUT_MS,
    checked_spec,
)
from taskrun.domain.protocol import (
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
from taskrun.domain.records import (
    AgentSpec,
    Consumption,
    Continuation,
    ModelBackend,
    OutputSegment,
    Run,
    RunEvent,
    RunMessage,
    StoryEntry,
    Task,
    TaskChange,
    TaskQuery,
    TaskSpec,
    Usage,
    WorkerInfo,
    WorkerView,
)
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, Verdict, WorkerStatus
from taskrun.v1 import common_pb2, worker_service_pb2
from taskrun.v1 import run_service_pb2 as pb
from taskrun.v1 import task_service_pb2 as tasks_pb

texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8)
keys = st.text("abc", min_size=1, max_size=3)
maps = st.dictionaries(keys, texts, max_size=3)
counts = st.integers(0, 2**31)
times = st.integers(0, 2**45)
ids = st.text("abc-123", min_size=1, max_size=36)
names = st.text("abc", min_size=1, max_size=9)
backends = st.builds(ModelBackend, texts, texts, counts, st.booleans(), st.tuples(texts), st.tuples(texts, texts), maps)
costs = st.none() | st.floats(0, 1e9)
consumptions = st.builds(Consumption, counts, counts, counts, counts, costs)
models = st.dictionaries(st.text("abc-", min_size=1, max_size=9), consumptions, max_size=3)
usages = st.builds(Usage, counts, counts, counts, counts, costs, models)
fits = st.builds(WorkerFit, ids, st.lists(texts, max_size=3).map(tuple), st.booleans())
explanations = st.builds(
    Explanation,
    ids,
    st.sampled_from(TaskStatus),
    texts,
    times,
    st.none() | st.builds(Ahead, counts, st.booleans()),
    times,
    st.lists(fits, max_size=3).map(tuple),
    counts,
)
runs = st.builds(
    Run,
    ids,
    ids,
    st.sampled_from(RunStatus),
    counts,
    times,
    times,
    times,
    st.none() | backends,
    texts,
    st.none() | st.sampled_from(FailureKind),
    st.none() | usages,
    texts,
)
specs = st.builds(
    TaskSpec,
    names,
    st.sampled_from(["1", '"x"', "{}", '{"a": [1, "é"]}']),
    maps,
    st.integers(0, 1000),
    st.integers(-1000, 1000),
    st.integers(1, 100),
    st.frozensets(st.sampled_from(FailureKind)),
    maps.map(lambda labels: tuple(sorted(labels.items()))),
    silence_timeout_ms=st.integers(0, 1000),
    queue_timeout_ms=st.integers(0, 1000),
)
continuations = st.builds(Continuation, ids, texts, st.booleans())
tasks = st.builds(
    Task,
    ids,
    st.builds(replace, specs, continues=st.none() | continuations),
    st.sampled_from(TaskStatus),
    texts,
    times,
    st.lists(runs, max_size=2).map(tuple),
    st.booleans(),
    times,
    counts,
    times,
    st.none() | st.sampled_from(FailureKind),
    texts,
)
segments = st.builds(OutputSegment, ids, counts, st.lists(texts, min_size=1, max_size=5).map(tuple), maps)
numbers = st.none() | counts
known_types = st.sampled_from([type for type in RunEventType if type is not RunEventType.UNKNOWN])
later_numbers = st.integers(1000, 2**31 - 1)
events = st.builds(RunEvent, ids, known_types, maps, ids, numbers) | st.builds(
    RunEvent, ids, st.just(RunEventType.UNKNOWN), maps, ids, numbers, later_numbers
)
messages = st.builds(RunMessage, ids, st.sampled_from(ChatRole), texts)
numbered_messages = st.builds(RunMessage, ids, st.sampled_from(ChatRole), texts, numbers, ids)
failures = st.none() | st.sampled_from(FailureKind)
changes = st.builds(TaskChange, st.sampled_from(TaskStatus), st.booleans(), st.none() | runs, failures, texts)
entries = st.builds(StoryEntry, counts, times, st.one_of(segments, events, messages, changes))
agents = st.builds(AgentSpec, names, texts, maps, st.lists(backends, max_size=2).map(tuple))
infos = st.builds(
    WorkerInfo, texts, texts, st.lists(agents, max_size=2, unique_by=lambda spec: spec.name).map(tuple), maps
)
reports = st.builds(
    RunReport,
    ids,
    st.sampled_from([RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]),
    texts,
    st.none() | st.sampled_from(FailureKind),
    st.none() | backends,
    st.none() | usages,
    texts,
    numbers,
    st.integers(0, 2**32 - 1),
)
shown = st.sampled_from([status for status in WorkerStatus if status is not WorkerStatus.LOST])
heartbeats = st.builds(Heartbeat, shown, counts, st.integers(0, 10_000), times, maps)
directives = st.builds(RunDirective, ids, st.sampled_from(Verdict), counts)
orders: st.SearchStrategy[ToWorker] = st.one_of(
    st.builds(AssignRun, ids, ids, names, texts, maps, st.integers(1, 9), times, counts, texts, st.booleans()),
    st.builds(CancelRun, ids, texts),
    st.builds(ContinueRun, ids, texts, ids, times),
    directives,
    st.builds(HelloAck, ids, st.frozensets(names), st.lists(directives, max_size=3).map(tuple), counts),
    st.builds(HeartbeatAck, times),
    st.builds(Stored, counts),
)
said: st.SearchStrategy[FromWorker] = st.one_of(reports, heartbeats, segments, events, numbered_messages)


@given(tasks)
def test_a_task_comes_back_the_same(task: Task) -> None:
    assert decode_task(encode_task(task)) == task


@given(explanations)
def test_an_explanation_comes_back_the_same(explanation: Explanation) -> None:
    assert decode_explanation(encode_explanation(explanation)) == explanation


@given(specs)
def test_a_spec_comes_back_the_same(spec: TaskSpec) -> None:
    assert decode_spec(encode_spec(spec)) == spec


@given(st.lists(entries, max_size=4))
def test_a_story_comes_back_the_same(story: list[StoryEntry]) -> None:
    response = tasks_pb.WatchTaskResponse(updates=[encode_entry(entry) for entry in story])
    assert decode_entries(response) == tuple(story)


@given(st.lists(said, min_size=1, max_size=5))
def test_what_a_worker_says_comes_back_the_same(words_said: list[FromWorker]) -> None:
    (frame,) = BatchSpeech("w-1").frames(words_said, 5)
    assert list(decode_from_worker(frame)) == words_said


@given(st.lists(orders, min_size=1, max_size=5))
def test_what_the_control_plane_says_comes_back_the_same(sent: list[ToWorker]) -> None:
    batch = pb.RunServerMessage(batch=pb.RunServerBatch(messages=[encode_to_worker(order) for order in sent]))
    assert decode_to_worker(batch.SerializeToString()) == sent
    assert decode_to_worker(encode_to_worker(sent[0]).SerializeToString()) == [sent[0]]


@given(infos, st.integers(1, 10_000), st.lists(st.builds(LiveRun, ids, counts), max_size=3), counts)
def test_a_hello_comes_back_the_same(info: WorkerInfo, slots: int, live_runs: list[LiveRun], stream: int) -> None:
    hello = Hello(info, frozenset({"batch", "resume"}), slots, "", "process-1", tuple(live_runs), stream)
    assert decode_hello(encode_hello(hello, "").SerializeToString()) == hello


@given(st.builds(WorkerView, ids, infos, shown, counts, counts, times, times))
def test_a_worker_comes_back_the_same(view: WorkerView) -> None:
    assert decode_worker(encode_worker(view)) == view


def test_a_query_comes_back_the_same() -> None:
    query = TaskQuery(TaskStatus.FAILED, "general", {"a": "b"}, 7, "token")
    assert decode_query(encode_query(query)) == query


@pytest.mark.parametrize(
    ("asked", "limit"), [(0, 100), (-5, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_has_100_tasks_unless_asked_and_never_more_than_1000(asked: int, limit: int) -> None:
    assert decode_query(tasks_pb.ListTasksRequest(limit=asked)).limit == limit


def test_an_old_request_has_the_new_fields_at_their_defaults() -> None:
    old = tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", created_by="root", labels={"a": "b"})
    assert decode_spec(old) == TaskSpec("general", "1", {"a": "b"}, max_attempts=3)


@pytest.mark.parametrize(
    "bad",
    [
        tasks_pb.CreateTaskRequest(input_json="1"),
        tasks_pb.CreateTaskRequest(agent_name="general"),
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="{"),
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", timeout_ms=-1),
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", max_attempts=2**32 - 1),
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", retry_on=[99]),  # type: ignore[list-item]
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", retry_on=[0]),  # type: ignore[list-item]
        tasks_pb.CreateTaskRequest(agent_name="general", input_json="1", labels={"": "x"}),
    ],
)
def test_a_bad_spec_is_refused(bad: tasks_pb.CreateTaskRequest) -> None:
    with pytest.raises(InvalidArgument):
        decode_spec(bad)


def test_unknown_filters_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="99 is no task status"):
        decode_query(tasks_pb.ListTasksRequest(status_filter=99))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="99 is no worker status"):
        decode_worker_query(worker_service_pb2.ListWorkersRequest(status=99))  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [WorkerQuery(), WorkerQuery("general", WorkerStatus.BUSY, "w-1", 5)])
def test_a_query_for_workers_comes_back_the_same(query: WorkerQuery) -> None:
    assert decode_worker_query(encode_worker_query(query)) == query


@pytest.mark.parametrize(
    "bad", [{"input_json": '"\ud800"'}, {"agent": "\udfff"}, {"timeout_ms": 2**63}, {"max_attempts": -1}]
)
def test_what_cannot_be_sent_is_refused_by_the_sender(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        to_bytes(encode_spec, TaskSpec(**{"agent": "general", "input_json": "1", **bad}))


def test_no_unknown_number_becomes_a_word() -> None:
    for table in (words.TASK_STATUSES, words.RUN_STATUSES, words.WORKER_STATUSES, words.CHAT_ROLES):
        for number in (0, 99, -1):
            with pytest.raises(InvalidArgument):
                table[number]


def test_every_word_has_its_own_number_on_the_wire() -> None:
    for numbers, back in (
        (words.TASK_STATUS_NUMBERS, words.OPTIONAL_TASK_STATUSES),
        (words.RUN_STATUS_NUMBERS, words.RUN_STATUSES),
        (words.CHAT_ROLE_NUMBERS, words.CHAT_ROLES),
        (words.EVENT_TYPE_NUMBERS, words.EVENT_TYPES),
        (words.FAILURE_KIND_NUMBERS, words.OPTIONAL_FAILURE_KINDS),
    ):
        assert {back[number]: number for number in back} == numbers
    assert set(words.WORKER_STATUS_NUMBERS) == set(WorkerStatus)


def test_an_old_control_plane_gives_the_time_limit_as_a_deadline() -> None:
    order = pb.RunAssignment(run_id="r", task_id="t", agent_name="general", issued_at_ms=1000, deadline_ms=61_000)
    (assigned,) = decode_to_worker(pb.RunServerMessage(assign_run=order).SerializeToString())
    assert assigned == AssignRun("r", "t", "general", "", issued_at_ms=1000, timeout_ms=60_000)


def test_an_old_worker_gets_the_time_limit_as_a_deadline() -> None:
    order = encode_to_worker(AssignRun("r", "t", "general", "1", issued_at_ms=1000, timeout_ms=500)).assign_run
    assert order.deadline_ms == 1500
    assert encode_to_worker(AssignRun("r", "t", "general", "1", issued_at_ms=1000)).assign_run.deadline_ms == 0


def test_an_ack_of_an_unknown_kind_says_nothing() -> None:
    assert decode_to_worker(pb.RunServerMessage(ack=pb.ServerAck(ack_type="applause")).SerializeToString()) == []


@pytest.mark.parametrize(
    "bad",
    [
        pb.RunServerMessage(),
        pb.RunServerMessage(ack=pb.ServerAck(ack_type="heartbeat", ref_id="soon")),
        pb.RunServerMessage(batch=pb.RunServerBatch(messages=[pb.RunServerMessage(batch=pb.RunServerBatch())])),
    ],
)
def test_an_order_that_says_nothing_is_refused(bad: pb.RunServerMessage) -> None:
    with pytest.raises(InvalidArgument):
        decode_to_worker(bad.SerializeToString())


def test_an_update_of_a_kind_that_came_after_us_is_an_event_that_nobody_here_knows() -> None:
    (entry,) = decode_entries(tasks_pb.WatchTaskResponse(updates=[tasks_pb.TaskUpdate(seq=7, timestamp_ms=1)]))
    assert entry == StoryEntry(7, 1, RunEvent("", RunEventType.UNKNOWN))
    assert entry.next_seq == 8


def test_an_event_that_lost_its_number_in_an_older_store_still_reaches_its_watchers() -> None:
    lost = StoryEntry(0, 1, RunEvent("r", RunEventType.UNKNOWN, {"a": "b"}))
    assert decode_entries(tasks_pb.WatchTaskResponse(updates=[encode_entry(lost)])) == (lost,)


def test_an_old_control_plane_hears_of_no_event_that_it_does_not_know() -> None:
    types = [RunEventType.THOUGHT, RunEventType.TOOL_REQUESTED, RunEventType.LOG, RunEventType.EXECUTION_FAILED]
    frames = OldSpeech("w").frames([RunEvent("r", type) for type in types], 1)
    heard = [pb.RunClientMessage.FromString(frame).event.event_type for frame in frames]
    assert heard == [words.EVENT_TYPE_NUMBERS[types[1]], words.EVENT_TYPE_NUMBERS[types[3]]]


@pytest.mark.parametrize("speech", [BatchSpeech("w-1"), OldSpeech("w-1")])
@pytest.mark.parametrize(
    "said",
    [
        RunMessage("r", ChatRole.ASSISTANT, "\ud800"),
        RunReport("r", RunStatus.FAILED, usage=Usage(10**30)),
        RunReport("r", RunStatus.FAILED, backend=ModelBackend(context_window=2**32)),
    ],
)
def test_what_no_message_can_hold_is_the_fault_of_who_says_it(speech: Speech, said: FromWorker) -> None:
    with pytest.raises(InvalidArgument, match=f"A {type(said).__name__} cannot be sent"):
        list(speech.frames([said], 1))


def reported(**fields: Any) -> RunReport:
    update = pb.RunStatusUpdate(status=5, **fields)  # type: ignore[arg-type]
    (report,) = decode_from_worker(pb.RunClientMessage(status_update=update).SerializeToString())
    assert isinstance(report, RunReport)
    return report


@pytest.mark.parametrize(("character", "kept"), [("x", 4092), ("é", 2046), ("€", 1364), ("😀", 1023)])
def test_the_long_error_of_an_old_worker_is_cut_between_characters_instead_of_refused(
    character: str, kept: int
) -> None:
    assert reported(run_id="r", error_message=character * 250_000).error == character * kept + " ..."


@pytest.mark.parametrize("error", ["x" * MAX_ERROR_BYTES, "é" * (MAX_ERROR_BYTES // 2), "😀" * (MAX_ERROR_BYTES // 4)])
def test_an_error_of_the_greatest_length_is_kept_whole(error: str) -> None:
    assert reported(run_id="r", error_message=error).error == error


@pytest.mark.parametrize(
    ("told", "cost"),
    [({"cost_usd": 0.5}, 0.5), ({"cost_usd": 0.5, "free": True}, 0.5), ({"free": True}, 0.0), ({}, None)],
    ids=["of an old worker", "odd", "known to be free", "unknown, or of an old worker that does not know"],
)
def test_a_cost_of_nothing_is_one_only_where_it_is_said_to_be(told: dict[str, Any], cost: float | None) -> None:
    report = reported(run_id="r", usage=common_pb2.Usage(input_tokens=1, **told))
    assert report.usage is not None
    assert report.usage.cost_usd == cost


def test_the_largest_task_there_can_be_fits_into_one_answer() -> None:
    pairs = {f"{n:02}" + "😀" * (MAX_LABEL_KEY - 2): "😀" * MAX_LABEL_VALUE for n in range(MAX_LABELS)}
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    full: dict[str, float] = {**dict.fromkeys(tokens, MAX_NUMBER // 20), "cost_usd": 1.1}
    report = reported(
        run_id="r",
        error_message="😀" * 250_000,
        failure_kind=1,
        session_id="😀" * MAX_NAME,
        backend_used=common_pb2.ModelBackend(provider="x" * (MAX_BACKEND_BYTES - 4)),
        usage=common_pb2.Usage(
            **dict.fromkeys(tokens, MAX_NUMBER),  # type: ignore[arg-type]
            by_model={f"{n:02}" + "😀" * 200: common_pb2.Usage(**full) for n in range(20)},  # type: ignore[arg-type]
        ),
    )
    run = Run("r" * 36, "w" * 57, RunStatus.FAILED, 100, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, report.backend)
    run = replace(run, error=report.error, failure=report.failure, usage=report.usage, session_id=report.session_id)
    spec = checked_spec(
        TaskSpec(
            "a" * 63,
            '"' + "x" * (MAX_INPUT_BYTES - 2) + '"',
            pairs,
            MAX_TIMEOUT_MS,
            -1000,
            100,
            frozenset(FailureKind),
            tuple(pairs.items()),
        )
    )
    task = Task("t" * 36, spec, TaskStatus.FAILED, "c" * 64, MAX_NUMBER, (run,) * 100, True, MAX_NUMBER, MAX_NUMBER)
    assert MAX_PAGE_BYTES // 2 < encode_task(task).ByteSize() < MAX_PAGE_BYTES


def test_a_hello_beyond_its_limit_is_refused_before_it_is_read() -> None:
    agents = tuple(AgentSpec(f"a{n}", "x" * 4000) for n in range(20))
    hello = encode_hello(Hello(WorkerInfo(agents=agents), frozenset(), 1), "")
    with pytest.raises(InvalidArgument, match=r"^The info in the hello has \d+ bytes: at most 65536 are allowed\.$"):
        decode_hello(hello.SerializeToString())


@pytest.mark.parametrize(
    "bad",
    [
        {"session_id": "x" * 300},
        {"backend_used": common_pb2.ModelBackend(tools=["x" * 1000] * 100)},
        {"usage": common_pb2.Usage(input_tokens=2**64 - 1)},
        {"usage": common_pb2.Usage(cost_usd=-1)},
        {"usage": common_pb2.Usage(by_model={"m": common_pb2.Usage(cost_usd=-1)})},
    ],
)
def test_a_report_with_impossible_values_is_refused(bad: dict[str, Any]) -> None:
    message = pb.RunClientMessage(status_update=pb.RunStatusUpdate(run_id="r", status=4, **bad))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        decode_from_worker(message.SerializeToString())


def test_the_old_final_chunk_is_output_with_one_empty_chunk() -> None:
    chunk = pb.RunOutputChunk(run_id="r", seq=4, is_final=True, metadata={"a": "b"})
    assert decode_from_worker(pb.RunClientMessage(output_chunk=chunk).SerializeToString()) == (
        OutputSegment("r", 4, ("",), {"a": "b"}),
    )
