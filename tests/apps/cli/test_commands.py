from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.address import parse_address, split_addresses
from taskrun.apps.cli.root import HOMES
from taskrun.apps.cli.showing import local_time
from taskrun.apps.cli.values import Duration
from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ProtocolViolation,
    ResourceExhausted,
    TaskRunError,
    Unauthenticated,
    Unavailable,
)
from taskrun.domain.identity import Role
from taskrun.domain.records import (
    AgentSpec,
    Consumption,
    Continuation,
    ModelBackend,
    StoryEntry,
    TaskChange,
    TaskQuery,
    TaskSpec,
    Usage,
)
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.engine.enrollment import MAX_TTL_MS
from tests.apps.cli.conftest import Taskrun
from tests.apps.cli.stub import RUN, TASK, WORKER, StubClient

# create-task


def test_a_created_task_is_its_id_alone_on_standard_output(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("create-task", "--agent", "general", "--input", "hi")
    assert (ended.code, ended.out) == (0, "t-1\n")
    assert "taskrun watch-task t-1" in ended.err


def test_every_option_of_a_task_is_sent(client: StubClient, taskrun: Taskrun) -> None:
    words = (
        "create-task --agent general --input {} --label team=docs --label a=b --timeout 10m --priority 5 "
        "--silence-timeout 30s --max-attempts 2 --retry-on timeout --retry-on agent_error --selector gpu=yes "
        "--idempotency-key k --queue-timeout 5m"
    )
    assert taskrun(*words.split()).code == 0
    retry_on = frozenset({FailureKind.TIMEOUT, FailureKind.AGENT_ERROR})
    labels = {"team": "docs", "a": "b"}
    asked = TaskSpec("general", "{}", labels, 600_000, 5, 2, retry_on, (("gpu", "yes"),), "k", 30_000, 300_000)
    assert client.asked[1] == asked


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("12", "12"),
        ("My invoice is wrong", '"My invoice is wrong"'),
        ("", '""'),
        ("9" * 5000, "9" * 5000),
        ("NaN", '"NaN"'),
        ('say "hä"\n', '"say \\"hä\\"\\n"'),
    ],
)
def test_text_that_is_no_json_is_sent_as_a_json_string(
    client: StubClient, taskrun: Taskrun, text: str, sent: str
) -> None:
    assert taskrun("create-task", "--agent", "general", "--input", text).code == 0
    spec = client.asked[1]
    assert isinstance(spec, TaskSpec)
    assert spec.input_json == sent


def test_the_input_comes_from_a_file_or_from_standard_input(
    client: StubClient, taskrun: Taskrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").write_text("[1]")
    assert taskrun("create-task", "--agent=a", "--input-file=input").code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[2]")))
    assert taskrun("create-task", "--agent=a", "--input-file=-").code == 0
    assert [spec.input_json for spec in client.asked if isinstance(spec, TaskSpec)] == ["[1]", "[2]"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("create-task --input x", "Missing option '--agent'"),
        ("create-task --agent a", "either --input or --input-file"),
        ("create-task --agent a --input x --input-file y", "either --input or --input-file"),
        ("create-task --agent a --input-file missing", "missing cannot be read: No such file"),
        ("create-task --agent a --input-file bytes", "bytes is no UTF-8 text"),
        ("create-task --agent a --input-file large", "input_json is too long"),
        ("create-task --agent a --input-file deep", "nested too deeply"),
        ('create-task --agent a --input {"k":1,"k":2}', "'k' twice"),
        ("create-task --agent Not_An_Agent --input x", "is no agent name"),
        ("create-task --agent a --input x --label team", "--label: 'team' is no KEY=VALUE: there is no = in it."),
        ("create-task --agent a --input x --label a=1 --label a=2", "--label: the key 'a' is given twice"),
        ("create-task --agent a --input x --selector gpu", "--selector: 'gpu' is no KEY=VALUE"),
        ("create-task --agent a --input x --timeout soon", "'soon' is no duration"),
        ("create-task --agent a --input x --timeout 0s", "'0s' is no time at all"),
        ("create-task --agent a --input x --timeout 99999999999999999999d", "timeout_ms is "),
        ("create-task --agent a --input x --priority 5000", "priority is 5000"),
        ("create-task --agent a --input x --max-attempts 0", "max_attempts is 0"),
        ("create-task --agent a --input x --retry-on bad_luck", "bad_luck"),
        ("list-tasks --status sleeping", "'sleeping' is not one of 'PENDING', 'RUNNING'"),
        ("list-workers --status asleep", "'asleep' is not one of 'IDLE', 'BUSY'"),
        ("list-tasks --limit 0", "--limit"),
        ("list-tasks --label x", "--label: 'x' is no KEY=VALUE"),
        ("watch-task t-1 --from-seq -1", "--from-seq"),
        ("create-token --ttl soon", "'soon' is no duration"),
        ("create-token --ttl 0", "'0' is no time at all"),
        ("create-token --ttl 0.1ms", "'0.1ms' is no time at all"),
        ("get-task", "Missing argument 'ID'"),
        ("no-such-command", "No such command 'no-such-command'. taskrun --help lists them."),
        ("creat-task --agent a", "No such command 'creat-task'. Is 'create-task' meant?"),
        ("listworkers", "Is 'list-workers' meant?"),
        ("--no-such-option", "No such option '--no-such-option'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    client: StubClient, taskrun: Taskrun, tmp_path: Path, words: str, message: str
) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b" " * 1_100_000)
    (tmp_path / "deep").write_text("[" * 100_000 + "]" * 100_000)
    ended = taskrun(*words.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("taskrun: ")
    assert message in ended.err


@pytest.mark.parametrize("command", ["get-task", "watch-task", "cancel-task"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_id_is_no_task_s(client: StubClient, taskrun: Taskrun, command: str, empty: str) -> None:
    ended = taskrun(command, empty)
    assert (ended.code, client.asked) == (2, [])
    assert "it is empty. Give the id of a task" in ended.err
    assert ended.err.count("\n") == 1


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument, 2),
        (NotFound, 2),
        (AlreadyExists, 2),
        (FailedPrecondition, 2),
        (Unavailable, 3),
        (Unauthenticated, 3),
        (PermissionDenied, 3),
        (ResourceExhausted, 3),
        (ProtocolViolation, 3),
        (TaskRunError, 3),
    ],
)
def test_a_refusal_is_one_line_and_its_exit_code(
    client: StubClient, taskrun: Taskrun, error: type[TaskRunError], code: int
) -> None:
    client.error = error("It may not\nbe so.")
    ended = taskrun("list-tasks")
    assert (ended.code, ended.out, ended.err) == (code, "", "taskrun: It may not be so.\n")


def test_a_bug_is_one_line_too(client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch) -> None:
    client.tasks = [None]  # type: ignore[list-item]  # it breaks whatever shows it
    ended = taskrun("list-tasks")
    assert ended.code == 1
    assert ended.err.startswith("taskrun: this is a bug: AttributeError: ")
    assert ended.err.count("\n") == 1
    monkeypatch.setenv("TASKRUN_TRACEBACK", "1")
    with pytest.raises(AttributeError):
        taskrun("list-tasks")


def test_a_missing_certificate_means_that_nobody_can_be_reached(
    client: StubClient, taskrun: Taskrun, tmp_path: Path
) -> None:
    (tmp_path / "certs" / "client.crt").unlink()
    ended = taskrun("list-tasks")
    assert ended.code == 3
    assert ended.err.startswith("taskrun: certs/client.crt is missing: source the env file of taskrun dev, or name ")


@pytest.mark.parametrize(
    ("name", "other", "says"),
    [
        ("ca.crt", "client.key", "certs/ca.crt holds no certificate: it must be PEM."),
        ("client.crt", "client.key", "certs/client.crt holds no certificate: it must be PEM."),
        ("client.key", "client.crt", "certs/client.key holds no private key: it must be PEM."),
    ],
)
def test_a_file_that_holds_something_else_is_named(
    client: StubClient, taskrun: Taskrun, tmp_path: Path, name: str, other: str, says: str
) -> None:
    certs = tmp_path / "certs"
    (certs / name).write_bytes((certs / other).read_bytes())
    ended = taskrun("list-tasks")
    assert (ended.code, ended.err) == (3, f"taskrun: {says}\n")
    assert client.asked == []


def test_a_file_that_was_copied_in_part_is_named(client: StubClient, taskrun: Taskrun, tmp_path: Path) -> None:
    path = tmp_path / "certs" / "client.crt"
    path.write_bytes(path.read_bytes()[:-2])
    assert taskrun("list-tasks").err == "taskrun: certs/client.crt holds no certificate: it must be PEM.\n"


@pytest.mark.parametrize("kind", ["EC PRIVATE KEY", "RSA PRIVATE KEY"])
def test_a_key_may_be_in_the_older_forms_too(client: StubClient, taskrun: Taskrun, tmp_path: Path, kind: str) -> None:
    (tmp_path / "certs" / "client.key").write_text(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    assert taskrun("list-tasks").code == 0


def test_a_key_that_others_may_read_is_not_used(client: StubClient, taskrun: Taskrun, tmp_path: Path) -> None:
    (tmp_path / "certs" / "client.key").chmod(0o644)
    ended = taskrun("list-tasks")
    assert ended.code == 3
    assert "chmod 600 certs/client.key" in ended.err


# Global options


@pytest.mark.parametrize("words", [("-a", "https://x:1", "list-workers"), ("list-workers", "--addr", "https://x:1")])
def test_the_address_is_an_option_of_the_group_and_of_every_command(
    client: StubClient, taskrun: Taskrun, words: tuple[str, ...]
) -> None:
    assert taskrun(*words).code == 0
    assert client.asked[0] == ("https://x:1",)


def test_a_commands_option_counts_more_than_the_groups_and_that_more_than_a_variable(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKRUN_ADDR", "https://variable:1")
    taskrun("list-workers")
    taskrun("-a", "https://group:1", "list-workers")
    taskrun("-a", "https://group:1", "list-workers", "-a", "https://command:1")
    assert client.asked[::2] == [("https://variable:1",), ("https://group:1",), ("https://command:1",)]


def test_several_addresses_are_several_options_or_one_variable(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    taskrun("-a", "https://x:1", "--addr", "https://y:1", "list-workers")
    taskrun("-a", "https://x:1", "list-workers", "-a", "https://y:1", "-a", "https://z:1")
    monkeypatch.setenv("TASKRUN_ADDR", "https://x:1, https://y:1 https://z:1")
    taskrun("list-workers")
    assert [split_addresses(asked) for asked in client.asked[::2] if isinstance(asked, tuple)] == [
        ("https://x:1", "https://y:1"),
        ("https://y:1", "https://z:1"),
        ("https://x:1", "https://y:1", "https://z:1"),
    ]


def test_the_address_has_a_default(client: StubClient, taskrun: Taskrun) -> None:
    taskrun("list-workers")
    assert client.asked[0] == ("https://[::1]:50051",)


def test_certificates_are_options_and_variables(
    client: StubClient, taskrun: Taskrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "certs").rename(tmp_path / "tls")
    monkeypatch.setenv("TASKRUN_CA_CERT", "tls/ca.crt")
    monkeypatch.setenv("TASKRUN_CERT", "tls/client.crt")
    assert taskrun("list-workers").code == 3
    assert taskrun("list-workers", "--key", "tls/client.key").code == 0


#: What a command needs besides its name; tests of their own hear what those of `PROGRAMS` answer.
NEEDED = {
    "revoke-worker": "w-1",
    "revoke-client": "ann",
    "create-task": "--agent a --input x",
    "watch-task": "t-1",
    "get-task": "t-1",
    "explain": "t-1",
    "cancel-task": "t-1",
    "continue-task": "t-1 more",
    "release-task": "t-1",
    "create-key": "ci --role read",
    "revoke-key": "ci",
    "init": "--dir new",
    "completion": "bash",
}
PROGRAMS = {"dev", "demo", "store", "create-client"}


@pytest.mark.parametrize("command", [command for command in HOMES if command not in PROGRAMS])
def test_every_command_answers_in_json(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    client.tasks = [replace(TASK, runs=(replace(RUN, failure=FailureKind.POISON),))]
    client.story = [StoryEntry(0, 1_000, TaskChange(TaskStatus.COMPLETED))]
    client.marked = ISSUED[2:]
    words = f"{command} {NEEDED.get(command, '')}"
    first = taskrun(*words.replace("new", "a").split(), "--json")
    second = taskrun("--json", *words.replace("new", "b").split())
    monkeypatch.setenv("TASKRUN_JSON", "1")
    third = taskrun(*words.replace("new", "c").split())
    for ended in (first, second, third):
        assert isinstance(json.loads(ended.out), dict)
        assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("command", HOMES)
def test_every_command_has_the_option_json(taskrun: Taskrun, command: str) -> None:
    assert "--json" in taskrun(command, "--help").out


def test_the_version_is_told(taskrun: Taskrun) -> None:
    ended = taskrun("--version")
    assert ended.out.startswith("taskrun 0.")


# Tasks


def test_a_task_in_json_has_the_wires_names(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, status=TaskStatus.COMPLETED, runs=(RUN,))]
    task = json.loads(taskrun("get-task", "t-1", "--json").out)
    assert (task["id"], task["agent_name"], task["input_json"], task["status"]) == (
        "t-1",
        "general",
        '"hi"',
        "COMPLETED",
    )
    [run] = task["runs"]
    assert (run["run_id"], run["worker_id"], run["status"], run["attempt"]) == ("r-1", "w-1", "COMPLETED", 1)
    assert run["usage"] == task["usage"] | {"by_model": {}}
    assert task["usage"] == {
        "input_tokens": 7,
        "output_tokens": 3,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cost_usd": 0.5,
        "by_model": {"claude": {**task["usage"]["by_model"]["claude"], "input_tokens": 7, "output_tokens": 3}},
    }
    assert run["backend_used"]["model_name"] == "claude"


def test_a_task_has_the_usage_of_all_its_runs_and_by_model_if_there_are_several(
    client: StubClient, taskrun: Taskrun
) -> None:
    small = Consumption(1_000, 200, 30_000, 4_000_000, 0.25)
    mixed = replace(RUN, usage=Usage(1_007, 203, 30_000, 4_000_000, 0.75, {"haiku": small}))
    client.tasks = [replace(TASK, runs=(RUN, replace(RUN, usage=None), mixed))]
    shown = taskrun("get-task", "t-1").out.splitlines()
    at = next(number for number, line in enumerate(shown) if line.startswith("Usage"))
    assert [line.removeprefix("Usage").strip() for line in shown[at : at + 3]] == [
        "1.0k tokens in, 206 out, 30k from cache, 4.0M to cache · $1.2500",
        "claude: 14 tokens in, 6 out · $1.0000",
        "haiku: 1.0k tokens in, 200 out, 30k from cache, 4.0M to cache · $0.2500",
    ]
    whole = json.loads(taskrun("get-task", "t-1", "--json").out)["usage"]
    assert (whole["input_tokens"], whole["by_model"]["haiku"]["cache_write_tokens"]) == (1_014, 4_000_000)


@pytest.mark.parametrize(
    ("costs", "in_all", "each"),
    [
        ((0.5, 0.25), "$0.7500", ("$0.5000", "$0.2500")),
        ((0.0, 0.0), "$0.0000", ("$0.0000", "$0.0000")),
        ((0.5, None), "at least $0.5000", ("$0.5000", "unknown")),
        ((None, None), "cost unknown", ("unknown", "unknown")),
    ],
)
def test_a_cost_that_nobody_knows_is_shown_as_such_and_is_null_in_json(
    client: StubClient, taskrun: Taskrun, costs: tuple[float | None, ...], in_all: str, each: tuple[str, ...]
) -> None:
    runs = tuple(replace(RUN, usage=Usage(7, 3, cost_usd=cost)) for cost in costs)
    client.tasks = [replace(TASK, runs=runs)]
    shown = taskrun("get-task", "t-1").out.splitlines()
    assert [line.rpartition(" · ")[2] for line in shown if line.startswith("Usage")] == [in_all]
    assert [any(cost in line for line in shown if "claude" in line) for cost in each] == [True, True]
    told = json.loads(taskrun("get-task", "t-1", "--json").out)
    assert [run["usage"]["cost_usd"] for run in told["runs"]] == list(costs)
    assert told["usage"]["cost_usd"] == (None if None in costs else sum(filter(None, costs)))


def test_a_task_whose_worker_tells_no_usage_has_none(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, runs=(replace(RUN, usage=None),))]
    assert "Usage" not in taskrun("get-task", "t-1").out
    assert json.loads(taskrun("get-task", "t-1", "--json").out)["usage"] is None


def test_a_task_is_shown_with_its_runs(client: StubClient, taskrun: Taskrun) -> None:
    failed = replace(
        RUN, status=RunStatus.FAILED, failure=FailureKind.AGENT_ERROR, error="exit code 1", session_id="s-1"
    )
    spec = TaskSpec("general", "x" * 300, {"team": "docs"}, 600_000, 5, selector=(("gpu", "yes"),))
    client.tasks = [replace(TASK, status=TaskStatus.RUNNING, cancel_requested=True, runs=(failed,), spec=spec)]
    shown = taskrun("get-task", "t-1").out
    expected = (
        "RUNNING (cancel requested)",
        "xxx...",
        "team=docs",
        "gpu=yes",
        "by admin",
        "10m",
        "agent_error: exit code 1",
        local_time(failed.started_at_ms),
        "2.5s",
        "7 in, 3 out",
        "$0.5000",
        "s-1",
    )
    for text in expected:
        assert text in shown


def test_a_task_that_failed_without_a_run_says_why(client: StubClient, taskrun: Taskrun) -> None:
    spec = TaskSpec("general", "1", silence_timeout_ms=30_000, queue_timeout_ms=5000)
    failed = replace(TASK, status=TaskStatus.FAILED, runs=(), spec=spec, expires_at_ms=6000)
    client.tasks = [replace(failed, failure=FailureKind.QUEUE_TIMEOUT, error="it waited 5.0 s")]
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in taskrun("get-task", "t-1").out.splitlines())
    assert (shown["Status"], shown["Failure"]) == ("FAILED", "queue_timeout: it waited 5.0 s")
    assert (shown["Silence timeout"], shown["Queue timeout"]) == ("30.0s", "5.0s")
    form = json.loads(taskrun("get-task", "t-1", "--json").out)
    assert (form["failure_kind"], form["error_message"]) == ("queue_timeout", "it waited 5.0 s")
    assert (form["queue_timeout_ms"], form["expires_at_ms"]) == (5000, 6000)


def test_a_run_that_was_not_started_shows_no_time(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, runs=(replace(RUN, started_at_ms=0, status=RunStatus.ASSIGNED),))]
    *_, row = taskrun("get-task", "t-1").out.splitlines()
    assert row.split()[:5] == ["1", "ASSIGNED", "w-1", "-", "-"]


def test_the_last_words_of_an_agent_are_shown_below_its_runs(client: StubClient, taskrun: Taskrun) -> None:
    error = "It ended with exit code 1.\nTraceback:\n\x1b[2JKeyError\n"
    failed = replace(RUN, status=RunStatus.FAILED, failure=FailureKind.AGENT_ERROR, error=error)
    client.tasks = [
        replace(TASK, status=TaskStatus.FAILED, runs=(failed, replace(failed, error="one line", attempt=2)))
    ]
    shown = taskrun("get-task", "t-1").out
    assert "agent_error: It ended with exit code 1. ..." in shown
    assert "agent_error: one line\n" in shown
    below = "\nRun 1, agent_error:\n    It ended with exit code 1.\n    Traceback:\n    \\x1b[2JKeyError\n"
    assert shown.endswith(below)
    assert "Run 2" not in shown


def test_tasks_are_listed_with_all_filters(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, status=TaskStatus.RUNNING, runs=(RUN,))]
    shown = taskrun("list-tasks", "--status=running", "--agent=general", "--label=team=docs", "--limit=5").out
    assert client.asked[1] == TaskQuery(TaskStatus.RUNNING, "general", {"team": "docs"}, 5)
    header, row = shown.splitlines()
    assert header.split() == ["ID", "STATUS", "AGENT", "AGE", "RUNS", "WORKER", "LABELS"]
    assert row.split()[:3] == ["t-1", "RUNNING", "general"]


def test_a_list_goes_over_as_many_pages_as_its_limit_needs(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks, client.page = [replace(TASK, id=f"t-{number}") for number in range(10)], 3
    listed = json.loads(taskrun("list-tasks", "--limit=7", "--json").out)["tasks"]
    assert [task["id"] for task in listed] == [f"t-{number}" for number in range(7)]
    assert "--limit shows more" in taskrun("list-tasks", "--limit=7").err


def test_a_misspelt_variable_is_a_remark(client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKRUN_ADRR", "https://[::1]:1")
    assert "'TASKRUN_ADRR'. Is 'TASKRUN_ADDR' meant?" in taskrun("list-tasks").err


def test_an_empty_list_is_its_header(client: StubClient, taskrun: Taskrun) -> None:
    assert len(taskrun("list-tasks").out.splitlines()) == 1


def test_other_peoples_text_cannot_redraw_the_screen(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, created_by="\x1b[2Jroot\u202e", spec=TaskSpec("general", '"\x9b"'))]
    shown = taskrun("get-task", "t-1").out
    assert "\\x1b[2Jroot\\u202e" in shown
    assert "\\x9b" in shown


@pytest.mark.parametrize(
    ("status", "said"),
    [(TaskStatus.CANCELLED, "is CANCELLED"), (TaskStatus.RUNNING, "was told to stop; it is RUNNING")],
)
def test_a_cancel_says_what_it_has_come_to(client: StubClient, taskrun: Taskrun, status: TaskStatus, said: str) -> None:
    client.tasks = [replace(TASK, status=status)]
    assert said in taskrun("cancel-task", "t-1").out


# Workers


def test_workers_are_listed(client: StubClient, taskrun: Taskrun) -> None:
    shown = taskrun("list-workers", "--agent=general", "--status=idle").out
    assert client.asked[1] == ("general", WorkerStatus.IDLE)
    assert shown.splitlines()[1].split()[:5] == ["w-1", "IDLE", "0/10", "general", "host"]


def test_workers_are_listed_with_the_models_of_their_agents(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = (
        ModelBackend("anthropic", "opus"),
        ModelBackend("anthropic", metadata={"model": "Claude Code's default"}),
    )
    agents = tuple(AgentSpec(f"a-{number}", backends=(each,)) for number, each in enumerate(backends))
    worker = replace(WORKER, info=replace(WORKER.info, agents=agents))
    monkeypatch.setattr(client, "workers", lambda *_: [worker])
    assert "a-0 (opus), a-1 (Claude Code's default)" in taskrun("list-workers").out
    [listed] = json.loads(taskrun("list-workers", "--json").out)["workers"]
    [backend] = listed["agents"][1]["backends"]
    assert (backend["model_name"], backend["metadata"]) == ("", {"model": "Claude Code's default"})


@pytest.mark.parametrize(
    ("command", "words"),
    [("list-tasks", "PENDING, RUNNING, COMPLETED, FAILED or CANCELLED"), ("list-workers", "BUSY, DRAINING or ERROR")],
)
def test_the_help_of_a_list_names_the_statuses(taskrun: Taskrun, command: str, words: str) -> None:
    shown = " ".join(taskrun(command, "--help").out.replace("│", " ").split())
    assert "--status STATUS Only" in shown
    assert words in shown


def test_a_command_makes_a_token(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("create-token", "--worker-id=build-1", "--ttl=10m")
    assert client.asked[1] == ("build-1", 600_000)
    assert ended.out == "taskrun1_secret\n"
    assert "taskrun-worker --enroll" in ended.err
    assert f"once, until {local_time(5_000)}" in ended.err


ISSUED = [
    Certificate("a2", "worker:w-1", 2_000, 2**42),
    Certificate("a1", "worker:w-1", 1_000, 3_000),
    Certificate("a0", "worker:w-1", 1_000, 2**42, 4_000),
]


def test_certificates_are_listed_with_owner_age_and_state(client: StubClient, taskrun: Taskrun) -> None:
    client.issued = ISSUED
    ended = taskrun("certs", "--worker-id=w-1")
    assert client.asked[-1] == "worker:w-1"
    header, *rows = ended.out.splitlines()
    assert header.split() == ["SERIAL", "OWNER", "STATE", "AGE", "ENDS", "REVOKED"]
    assert [row.split()[:3] for row in rows] == [
        ["a2", "worker:w-1", "VALID"],
        ["a1", "worker:w-1", "EXPIRED"],
        ["a0", "worker:w-1", "REVOKED"],
    ]
    assert rows[2].endswith(local_time(4_000))


def test_certificates_are_listed_as_json(client: StubClient, taskrun: Taskrun) -> None:
    client.issued = ISSUED[:1]
    assert json.loads(taskrun("certs", "--json").out) == {
        "certificates": [
            {
                "serial": "a2",
                "owner": "worker:w-1",
                "state": "VALID",
                "issued_at_ms": 2_000,
                "not_after_ms": 2**42,
                "revoked_at_ms": 0,
            }
        ]
    }
    assert client.asked[-1] == ""


def test_a_worker_or_one_certificate_is_revoked(client: StubClient, taskrun: Taskrun) -> None:
    client.marked = ISSUED[2:]
    for words in ("revoke-worker w-1", "revoke-worker --serial=a0", "revoke-worker w-2 --json"):
        ended = taskrun(*words.split())
        assert (ended.code, ended.err) == (0, "")
        assert "REVOKED" in ended.out
    assert client.asked[1::2] == [("worker", "w-1"), ("serial", "a0"), ("worker", "w-2")]


def test_the_certificates_of_a_client_are_listed_and_revoked(client: StubClient, taskrun: Taskrun) -> None:
    client.issued = client.marked = [Certificate("c1", "client:ann", 1_000, 2**42, 4_000)]
    assert "client:ann" in taskrun("certs", "--client=ann").out
    assert "REVOKED" in taskrun("revoke-client", "ann").out
    assert client.asked[1::2] == ["client:ann", ("client", "ann")]


@pytest.mark.parametrize("words", ["revoke-worker w-1", "revoke-client ann", "revoke-worker --serial=0A:0"])
def test_what_was_revoked_before_is_no_mistake(client: StubClient, taskrun: Taskrun, words: str) -> None:
    client.issued = ISSUED[2:]
    ended = taskrun(*words.split())
    assert (ended.code, ended.err) == (0, "There was nothing left to revoke.\n")
    ended = taskrun(*words.split(), "--json")
    assert (ended.code, ended.err, json.loads(ended.out)) == (0, "", {"certificates": []})


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        ("revoke-worker nosuch", "worker:nosuch", "No certificate of worker:nosuch is listed"),
        ("revoke-client nosuch", "client:nosuch", "No certificate of client:nosuch is listed"),
        ("revoke-worker --serial=b7", "", "No certificate b7 is listed"),
    ],
)
def test_who_revokes_what_nobody_has_is_told_so(
    client: StubClient, taskrun: Taskrun, words: str, asked: str, said: str
) -> None:
    client.issued = [] if asked else ISSUED
    ended = taskrun(*words.split())
    assert (ended.code, ended.out, client.asked[-1]) == (2, "", asked)
    assert ended.err.startswith(f"taskrun: {said}: is that what was meant?")
    assert "worth nothing from now on" in ended.err
    assert ended.err.count("\n") == 1


def test_certificates_are_listed_of_one_owner_or_of_all(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("certs", "--client=ann", "--worker-id=w-1")
    assert (ended.code, client.asked) == (2, [])
    assert "Give --worker-id or --client, not both." in ended.err


@pytest.mark.parametrize("words", ["revoke-worker", "revoke-worker w-1 --serial a0"])
def test_what_to_revoke_is_said_in_one_way(client: StubClient, taskrun: Taskrun, words: str) -> None:
    ended = taskrun(*words.split())
    assert ended.code == 2
    assert "Give the id of a worker, or --serial" in ended.err
    assert client.asked == []


ALONE = "(The control plane takes enrolments on its own machine only: see --http-addr and --http-tls.)"
ELSEWHERE = "(On another machine, a name of the control plane's that is known there takes the place of {}.)"
COPY = "(ca.crt is a copy of the control plane's.)"


@pytest.mark.parametrize(
    ("url", "here", "told", "remarks"),
    [
        ("http://[::1]:7", "[::1]", "http://[::1]:7", [ALONE]),
        ("https://[::1]:7", "[::1]", "https://[::1]:7 --enroll-ca-cert ca.crt", [COPY, ALONE]),
        ("https://plane:7", "x.example", "https://plane:7 --enroll-ca-cert ca.crt", [COPY]),
        ("http://0.0.0.0:7", "x.example", "http://x.example:7", []),
        ("https://[::]:7", "x.example", "https://x.example:7 --enroll-ca-cert ca.crt", [COPY]),
        ("https://[::]:7", "[::1]", "https://[::1]:7 --enroll-ca-cert ca.crt", [COPY, ELSEWHERE.format("::1")]),
        ("", "[::1]", "HTTP-ADDRESS-OF-THE-CONTROL-PLANE", []),
    ],
)
def test_who_makes_a_token_is_told_how_it_is_spent(
    client: StubClient, taskrun: Taskrun, url: str, here: str, told: str, remarks: list[str]
) -> None:
    client.enroll_url = url
    client.address = parse_address(f"https://{here}:1")
    ended = taskrun("create-token", "--addr=https://y.example:1", "--addr=https://x.example:1")
    _, *shown = ended.err.splitlines()
    assert shown == [f"TASKRUN_TOKEN=... taskrun-worker --enroll {told}", *remarks]


def test_a_ttl_too_long_for_a_number_is_for_the_control_plane_to_refuse(client: StubClient, taskrun: Taskrun) -> None:
    assert taskrun("create-token", "--ttl=99999999999999999999d").code == 0
    assert client.asked[1] == ("", Duration.LONGEST)
    assert MAX_TTL_MS < Duration.LONGEST < 2**63


@pytest.mark.parametrize("ttl", ["inf", "nan", "1e999", "9" * 400])
def test_a_ttl_without_end_is_none(client: StubClient, taskrun: Taskrun, ttl: str) -> None:
    ended = taskrun("create-token", f"--ttl={ttl}")
    assert (ended.code, client.asked) == (2, [])
    assert "is no duration such as 10s, 5m or 1h." in ended.err


def test_a_command_makes_a_key_and_prints_it_alone(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("create-key", "ci", "--role=submit", "--ttl=7d")
    assert client.asked[1] == ("ci", Role.SUBMIT, 7 * 86_400_000)
    assert ended.out == "taskrunkey1_secret\n"
    assert f"until {local_time(5_000)}" in ended.err


def test_keys_are_listed_with_what_they_are_worth(client: StubClient, taskrun: Taskrun) -> None:
    listed = taskrun("list-keys").out.splitlines()
    assert listed[0].split() == ["NAME", "ROLE", "STATE", "EXPIRES", "CREATED", "BY"]
    assert listed[1].split()[:3] == ["ci", "submit", "EXPIRED"]


def test_a_command_revokes_a_key(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("revoke-key", "ci")
    assert (ended.code, client.asked[1]) == (0, "ci")
    assert json.loads(taskrun("revoke-key", "ci", "--json").out)["state"] == "REVOKED"


# The rest


def test_init_makes_certificates_and_never_overwrites(taskrun: Taskrun, tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ended = taskrun("init", "--dir", str(directory), "--host", "plane.example.org")
    assert len(ended.out.splitlines()) == len(list(directory.iterdir())) == 8
    again = taskrun("init", "--dir", str(directory))
    assert (again.code, again.out) == (2, "")
    assert "exists already: nothing was written" in again.err


def test_a_client_is_made_in_a_directory_of_its_own(
    taskrun: Taskrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    taskrun("init")
    ended = taskrun("create-client", "ann", "--role", "submit", "--ttl", "1h", "--json")
    files = [f"clients/ann/{name}" for name in ("ca.crt", "client.crt", "client.key")]
    serial = parse_peer((tmp_path / "clients/ann/client.crt").read_bytes()).serial
    assert (ended.code, json.loads(ended.out)) == (0, {"files": files, "serial": serial})
    again = taskrun("create-client", "ann", "--role", "admin")
    assert (again.code, again.out) == (2, "")
    assert "exists already: nothing was written" in again.err
    made = taskrun("create-client", "bob", "--role", "read", "--to", "b")
    assert made.out.split()[0] == "b/ca.crt"
    assert "taskrun revoke-client bob" in made.err
    assert parse_peer((tmp_path / "b/client.crt").read_bytes()).serial in made.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ann", "Missing option '--role'"),
        ("ann --role root", "'root' is not one of"),
        ("../ann --role read", "A name has"),
        (".. --role read", "say where to put the files"),
    ],
)
def test_a_client_that_cannot_be_made_is_one_line(
    taskrun: Taskrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = taskrun("create-client", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shell", "says"), [("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", "complete ")])
def test_completion_prints_a_script(taskrun: Taskrun, shell: str, says: str) -> None:
    ended = taskrun("completion", shell)
    assert says in ended.out
    assert "_TASKRUN_COMPLETE" in ended.out


def test_every_command_has_help(taskrun: Taskrun) -> None:
    listed = taskrun("--help").out
    for command in (
        "create-task",
        "get-task",
        "list-tasks",
        "cancel-task",
        "watch-task",
        "list-workers",
        "create-token",
        "certs",
        "revoke-worker",
        "revoke-client",
    ):
        assert command in listed
        assert "--ca-cert" in taskrun(command, "--help").out
    for command in ("init", "dev", "demo", "completion"):
        assert taskrun(command, "--help").code == 0


def test_poison_is_released_as_a_new_task(client: StubClient, taskrun: Taskrun) -> None:
    poison = replace(RUN, status=RunStatus.FAILED, failure=FailureKind.POISON)
    client.tasks = [replace(TASK, status=TaskStatus.FAILED, runs=(poison,))]
    assert taskrun("release-task", "t-1").out == "t-1\n"
    assert client.asked[-2:] == ["t-1", TASK.spec]


def test_a_follow_up_that_was_poison_is_not_made_anew_without_its_session(client: StubClient, taskrun: Taskrun) -> None:
    poison = replace(RUN, status=RunStatus.FAILED, failure=FailureKind.POISON)
    spec = replace(TASK.spec, continues=Continuation("t-0", "s-0"))
    client.tasks = [replace(TASK, spec=spec, status=TaskStatus.FAILED, runs=(poison,))]
    result = taskrun("release-task", "t-1")
    assert (result.code, result.err) == (2, "taskrun: Task t-1 is a follow-up: continue task t-0 again.\n")


def test_only_poison_is_released(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, status=TaskStatus.COMPLETED, runs=(RUN,))]
    result = taskrun("release-task", "t-1")
    assert (result.code, result.err) == (2, "taskrun: Task t-1 is COMPLETED, and not for being poison.\n")
