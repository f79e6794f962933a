"""What a log at INFO does not hold: what agents are told and say, secrets, and a line for each step of a task."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from taskrun.adapters.agents.containment.means import LACKING, containment
from taskrun.domain.status import TaskStatus
from tests.system.site import RunningProgram, Site, command

MARKERS = INPUT, OUTPUT, STDERR, UNKNOWN, API_KEY = (
    "marker-of-input",
    "marker-of-output",
    "marker-of-stderr",
    "marker-of-an-unknown-message",
    "marker-of-an-api-key",
)

#: Takes its time over five chunks, so that heartbeats come in between.
TALKER = command("talker", f"cat; for chunk in 1 2 3 4 5; do echo {OUTPUT}; echo {STDERR} >&2; sleep 0.1; done")
#: Fails: what it says last on standard error is a part of the failure.
FAILING = command("failing", f"cat; echo {OUTPUT}; echo {STDERR} >&2; exit 3")
CODER = {"name": "coder", "kind": "claude-code"}

#: In the place of Claude Code: says what nobody knows, no JSON at all, and something of a result.
STRANGE_CLI = f"""#!/bin/sh
read -r asked
echo "$asked" >&2
echo '{{"type": "news", "text": "{UNKNOWN}"}}'
echo '{UNKNOWN}'
echo '{{"type": "result", "subtype": "{UNKNOWN}", "is_error": true, "result": "{OUTPUT}"}}'
"""


def strange_cli(place: Path) -> dict[str, str]:
    """The environment of a worker that takes this for the CLI which the SDK's wheel carries."""
    cli = place / "claude_agent_sdk" / "_bundled" / "claude"
    cli.parent.mkdir(parents=True)
    (place / "claude_agent_sdk" / "__init__.py").touch()
    cli.write_text(STRANGE_CLI)
    cli.chmod(0o700)
    return {"PYTHONPATH": str(place), "ANTHROPIC_API_KEY": API_KEY}


def messages(log: str) -> list[str]:
    return [json.loads(line)["message"] for line in log.splitlines()]


def end(program: RunningProgram) -> str:
    """All that it logged, once it has ended."""
    assert program.end(signal.SIGTERM) == 0
    return program.log


def test_tasks_leave_no_line_and_nothing_of_theirs_in_either_log(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        plane = site.start_plane()
        environ = strange_cli(tmp_path / "sdk")
        worker = site.start_worker("one", "--heartbeat", "0.1", agents=[TALKER, FAILING, CODER], environ=environ)
        tasks = [site.end_of(site.create(agent, INPUT).id) for agent in ("talker", "failing", "coder")]
        log_of_worker, log_of_plane = end(worker), end(plane)

    assert [task.status for task in tasks] == [TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.FAILED]
    assert [marker for marker in MARKERS if marker in log_of_worker + log_of_plane] == []
    assert messages(log_of_worker) == [
        f"working for {site.grpc_addr}",
        *filter(None, [LACKING[containment()]]),
        "connected",
        "draining: no new runs, 0 to finish",
        "stopped",
    ]
    assert messages(log_of_plane) == ["ready", "worker connected", "worker gone", "stopping", "stopped"]


def test_neither_log_holds_a_token_or_a_key(tmp_path: Path) -> None:
    certs = tmp_path / "enrolled"
    with Site(tmp_path) as site:
        plane = site.start_plane()
        token = site.client.create_token("one").token
        enrolling = ("--enroll", f"http://{site.http_addr}", "--token", token, "--certs-dir", str(certs))
        worker = site.start_worker("one", *enrolling)
        log = end(worker) + end(plane)

    secrets = [token.partition(".")[0], *key_lines(certs / "worker.key"), *key_lines(site.certs / "server.key")]
    assert [secret for secret in secrets if secret in log] == []


def key_lines(path: Path) -> list[str]:
    """The key in its PEM file, without the lines that every key has."""
    return path.read_text().splitlines()[1:-1]
