"""Conversations with the real Claude Code, on real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.domain.records import Task
from taskrun.domain.status import TaskStatus
from taskrun.testing.scripted_model import ScriptedModel
from tests.system.site import Site, only_run, soon

CLAUDE = {"name": "claude", "kind": "claude-code", "model": "claude-sonnet-4-5", "allowed_tools": ["Bash"]}


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


@pytest.fixture
def site(tmp_path: Path, model: ScriptedModel) -> Iterator[Site]:
    """A site whose control plane keeps what it is told, with Claude Code on its worker."""
    with Site(tmp_path) as site:
        site.start_plane(*durable(site))
        site.start_worker("one", agents=[CLAUDE], environ=model.environ())
        yield site


def durable(site: Site) -> tuple[str, str]:
    return "--store", f"sqlite:{site.directory / 'tasks.db'}"


def restart(site: Site) -> None:
    """The control plane is killed, and another takes its place; its worker comes back."""
    port = site.grpc_port
    site.plane.kill()
    site.start_plane(*durable(site), "--grpc-addr", f"[::1]:{port}")
    soon(lambda: site.worker_ids() == ["one"])


def go_on(site: Site, task_id: str, message: str) -> tuple[str, str]:
    """What a person at a terminal does: the id of the new task, and its output."""
    ended = site.run("continue-task", task_id, message, "--watch")
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.splitlines()[0].removeprefix("task "), ended.stdout


def said_by_user(model: ScriptedModel) -> list[str]:
    """What the model was told in the conversation, when it was asked last."""
    return [turn.text for turn in model.requests[-1].turns if turn.role == "user"]


def completed(site: Site, task: Task) -> Task:
    task = site.end_of(task.id)
    assert task.status is TaskStatus.COMPLETED, [run.error for run in task.runs]
    return task


def test_three_turns_keep_their_context_while_the_control_plane_is_killed_between_them(
    site: Site, model: ScriptedModel
) -> None:
    first = completed(site, site.create("claude", "I am Ann."))
    restart(site)
    second, _ = go_on(site, first.id, "My cat is grey.")
    restart(site)
    third, output = go_on(site, second, "[[recall]]")
    assert output == "You told me before:\nI am Ann.\nMy cat is grey."
    assert said_by_user(model) == ["I am Ann.", "My cat is grey.", "[[recall]]"]
    history = json.loads(site.run("get-task", third, "--history", "--json").stdout)["messages"]
    assert [(each["task_id"], each["role"], each["content"]) for each in history] == [
        (first.id, "USER", "I am Ann."),
        (first.id, "ASSISTANT", "You said: I am Ann."),
        (second, "USER", "My cat is grey."),
        (second, "ASSISTANT", "You said: My cat is grey."),
        (third, "USER", "[[recall]]"),
        (third, "ASSISTANT", output),
    ]


def test_a_message_to_a_run_is_heard_when_its_turn_is_over_also_across_a_restart(site: Site, gate: Path) -> None:
    task = site.create("claude", f"[[bash: until [ -e {gate} ]; do sleep 0.05; done; echo open]]")
    soon(lambda: bool(site.client.get(task.id).runs and site.client.get(task.id).runs[-1].session_id))
    assert site.run("continue-task", task.id, "[[recall]]").stdout == f"{task.id}\n"
    restart(site)
    gate.touch()
    only_run(completed(site, task))
    history = site.run("get-task", task.id, "--history").stdout
    assert f"You told me before:\n    [[bash: until [ -e {gate} ]; do sleep 0.05; done; echo open]]" in history


def test_a_fork_knows_what_was_said_and_leaves_the_conversation_as_it_was(site: Site) -> None:
    first = completed(site, site.create("claude", "I am Ann."))
    fork = site.run("continue-task", first.id, "My cat is grey.", "--fork", "--watch")
    assert fork.returncode == 0, fork.stderr
    _, output = go_on(site, first.id, "[[recall]]")
    assert output == "You told me before:\nI am Ann."
