from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskrun.adapters.agents.definitions import SESSIONS
from taskrun.adapters.agents.sessions.shelf import Keeping, SessionShelf
from taskrun.apps.cli.children import WORKER, Child
from taskrun.apps.configuration import table
from taskrun.apps.settings import WorkerSettings
from taskrun.domain.tokens import compose
from taskrun.version import __version__
from tests.apps.conftest import Program
from tests.apps.places import CLI, PATIENCE, Site, all_gone, descendants, ended, send


@pytest.fixture(scope="module")
def plane(certs: Path) -> Iterator[Site]:
    """A control plane for all of these tests."""
    site = Site(certs)
    site.start()
    yield site
    site.close()


@pytest.fixture
def site(plane: Site) -> Iterator[Site]:
    """The control plane, with the programs of one test."""
    site = replace(plane, children=[])
    yield site
    site.close()


#: For a control plane that is none of these tests'.
TOKEN = compose(b"x" * 32, "0" * 64)

NEVER_TOLD_TO_ASK = (
    "Agent editor: what it may not use is denied only where it asks, and no `mode` in `options` says that it does."
)


def begun(site: Site, gate: Path) -> tuple[str, Child]:
    """The id of a task whose agent runs until `gate` is there, and somebody who watches it."""
    task_id = site.cli("create-task", "--agent=gated", f"--input={gate}").stdout.strip()
    watcher = site.child("watcher", [*CLI, "watch-task", task_id], **site.variables())
    watcher.wait_for("begun", PATIENCE)
    return task_id, watcher


def status(site: Site, task_id: str) -> str:
    task: dict[str, str] = json.loads(site.cli("get-task", task_id, "--json").stdout)
    return task["status"]


def test_it_announces_itself(site: Site, agents: Path) -> None:
    site.worker("--label=zone=b", "--max-concurrent-runs=3", config=agents)
    [worker] = json.loads(site.cli("list-workers", "--json").stdout)["workers"]
    assert worker["worker_id"] == "local"
    assert worker["version"] == __version__
    assert worker["max_concurrent_runs"] == 3
    assert [agent["name"] for agent in worker["agents"]] == ["general", "support_triage", "echo", "failing", "gated"]
    assert worker["labels"]["zone"] == "b"
    assert worker["labels"]["taskrun.containment"] in ("namespace", "tree")


def test_what_its_owner_may_take_for_granted_and_does_not_have_is_said_at_the_start(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "worker.toml"
    config.write_text('[[agents]]\nname = "editor"\nkind = "acp"\ncommand = ["an-agent"]\n')
    worker = site.worker(config=config)
    assert worker.wait_for(NEVER_TOLD_TO_ASK)["level"] == "WARNING"


def test_an_agent_of_the_file_stands_in_for_a_built_in_one(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "worker.toml"
    config.write_text('[[agents]]\nname = "general"\nkind = "command"\ncommand = ["cat"]\n')
    site.worker(config=config)
    assert site.cli("create-task", "--agent=general", "--input=hello", "--watch").stdout == "hello"


def test_the_first_signal_drains(site: Site, agents: Path, tmp_path: Path) -> None:
    worker = site.worker(config=agents)
    gate = tmp_path / "gate"
    task_id, watcher = begun(site, gate)
    send(worker, signal.SIGTERM)
    worker.wait_for("draining: no new runs, 1 to finish")
    gate.touch()
    worker.wait_for("stopped", PATIENCE)
    watcher.wait_for("done", PATIENCE)
    assert worker.stop() == 0
    assert status(site, task_id) == "COMPLETED"


def test_the_second_signal_stops_the_runs(site: Site, agents: Path, tmp_path: Path) -> None:
    worker = site.worker(config=agents)
    task_id, _ = begun(site, tmp_path / "never")
    family = descendants(worker.pid)
    assert family
    send(worker, signal.SIGTERM)
    worker.wait_for("draining: no new runs, 1 to finish")
    send(worker, signal.SIGTERM)
    worker.wait_for("stopped", PATIENCE)
    assert worker.stop() == 0
    assert all_gone(family)
    # It would run again on the worker of the next test, which could not drain for it.
    assert status(site, task_id) == "PENDING"
    site.cli("cancel-task", task_id)
    assert status(site, task_id) == "CANCELLED"


def test_sessions_outlive_the_worker_that_kept_them_and_what_it_left_behind_does_not(
    site: Site, agents: Path, tmp_path: Path
) -> None:
    place = tmp_path / "work" / SESSIONS
    shelf = SessionShelf(place, Keeping())
    kept, left = shelf.fresh(), shelf.fresh()
    shelf.keep(kept, "general", "s1", 3600.0)
    for held in (kept, left):
        held.let_go()
    site.worker(f"--work-dir={place.parent}", config=agents)
    assert (kept.root.is_dir(), left.root.is_dir()) == (True, False)


def test_a_program_that_hangs_can_be_asked_what_it_waits_for(site: Site, agents: Path) -> None:
    worker = site.worker(config=agents)
    send(worker, signal.SIGUSR1)
    worker.wait_for("alarm", PATIENCE)
    assert worker.stop() == 0
    assert re.search(r"/engine/daemon\.py:\d+ in run\n", worker.said())
    assert "Exception" not in worker.said()


def test_a_control_plane_that_is_killed_says_nothing_about_certificates(
    site: Site, agents: Path, tmp_path: Path
) -> None:
    plane = site.start()
    worker = site.worker(config=agents)
    _, watcher = begun(site, tmp_path / "never")
    send(plane, signal.SIGKILL)
    watcher.wait_for_end(PATIENCE)
    assert watcher.exit_code == 3
    assert f"taskrun: Lost {site.grpc_addr}: the connection broke." in watcher.said()
    worker.wait_for(f"the link is lost: Lost {site.grpc_addr}: the connection broke.", PATIENCE)
    assert "certificate" not in worker.said()


def test_a_worker_that_never_reached_anybody_ends_at_a_signal(site: Site) -> None:
    worker = site.child("worker", [*WORKER, f"--certs-dir={site.certs}", "--addr=https://[::1]:1"])
    worker.wait_for("working for https://[::1]:1", PATIENCE)
    assert worker.stop() == 0


def test_a_worker_enrols_by_token_and_goes_on_with_its_certificate_when_it_is_started_again(
    site: Site, agents: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(site.cli("create-token", "--worker-id=build-1").stdout)
    mine = tmp_path / "mine"
    options = (f"--certs-dir={mine}", f"--enroll={site.http_addr}", f"--token-file={token}")
    for message in ("enrolled", "connected"):
        worker = site.worker(*options, config=agents)
        assert worker.wait_for(message)["worker_id"] == "build-1"
        assert worker.stop() == 0
    assert (mine / "worker.key").stat().st_mode & 0o777 == 0o600
    # Spent as it is, somebody may have tidied it away.
    token.rename(tmp_path / "spent")
    worker = site.worker(*options, config=agents)
    assert "enrolled already, going on with the certificate that is here" in worker.said()
    assert worker.stop() == 0
    (tmp_path / "spent").rename(token)
    elsewhere = [*WORKER, f"--addr={site.grpc_addr}", *options, f"--certs-dir={tmp_path / 'elsewhere'}"]
    result = ended(elsewhere)
    assert result.returncode == 1
    assert result.stderr == (
        "taskrun-worker: The bootstrap token is unknown, expired or already used: make a new one.\n"
    )


def test_a_worker_follows_the_instructions_and_finds_its_control_plane_wherever_that_is(
    site: Site, agents: Path, tmp_path: Path
) -> None:
    made = site.cli("create-token", "--worker-id=build-2")
    [_, instruction] = [line for line in made.stderr.splitlines() if "taskrun-worker" in line or "(" not in line]
    assert instruction == f"TASKRUN_TOKEN=... taskrun-worker --enroll {site.http_addr}"
    mine = tmp_path / "mine"
    told = [f"--enroll={instruction.split()[-1]}", f"--certs-dir={mine}", f"--config={agents}"]
    for message in ("enrolled", "enrolled already, going on with the certificate that is here"):
        worker = site.child("worker", [*WORKER, *told], TASKRUN_TOKEN=made.stdout.strip())
        worker.wait_for(message, PATIENCE)
        worker.wait_for(f"working for {site.grpc_addr}", PATIENCE)
        assert worker.wait_for("connected", PATIENCE)["worker_id"] == "build-2"
        assert worker.stop() == 0
    # The certificate alone is enough, and a flag counts more.
    worker = site.child("worker", [*WORKER, f"--certs-dir={mine}"])
    worker.wait_for("connected", PATIENCE)
    elsewhere = site.child("worker", [*WORKER, f"--certs-dir={mine}", "--addr=https://[::1]:1"])
    elsewhere.wait_for("working for https://[::1]:1", PATIENCE)


def test_an_enrolled_worker_starts_again_though_nobody_answers(certs: Path, tmp_path: Path) -> None:
    plane = Site(certs)
    try:
        plane.start()
        token = plane.cli("create-token", "--worker-id=build-1").stdout.strip()
        options = [f"--certs-dir={tmp_path / 'mine'}", f"--enroll={plane.http_addr}", f"--token={token}"]
        plane.worker(*options)
    finally:
        plane.close()
    try:
        worker = plane.child("worker", [*WORKER, f"--addr={plane.grpc_addr}", *options])
        worker.wait_for("enrolled already, going on with the certificate that is here", PATIENCE)
        worker.wait_for(f"working for {plane.grpc_addr}", PATIENCE)
        assert worker.stop() == 0
    finally:
        plane.close()


def test_the_command_lines_variables_are_not_the_workers(site: Site) -> None:
    worker = site.child("worker", [*WORKER, f"--certs-dir={site.certs}"], **site.variables())
    assert worker.wait_for("connected", PATIENCE)["worker_id"] == "local"


def test_a_worker_has_variables_of_its_own(certs: Path, worker: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CERT", "KEY"):
        monkeypatch.setenv(f"TASKRUN_WORKER_{name}", str(certs / f"client.{'crt' if name == 'CERT' else 'key'}"))
    assert f"{certs / 'client.crt'} is the certificate of client:admin" in worker().err


#: What is wrong with the settings, or with the files that they name, is found by both.
EITHER_WAY = pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])


@EITHER_WAY
def test_a_clients_certificate_is_refused_before_anybody_is_asked(
    certs: Path, worker: Program, check: list[str]
) -> None:
    files = f"--cert={certs / 'client.crt'}", f"--key={certs / 'client.key'}"
    result = worker("--addr=https://[::1]:1", *files, *check)
    said = f"{certs / 'client.crt'} is the certificate of client:admin: a worker needs its own."
    assert (result.code, result.err) == (2, f"taskrun-worker: {said}\n")


@EITHER_WAY
@pytest.mark.parametrize("name", ["ca.crt", "worker.crt", "worker.key"])
def test_a_missing_file_is_one_line(certs: Path, tmp_path: Path, worker: Program, check: list[str], name: str) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "certs" / name).unlink()
    result = worker(*check)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        f"taskrun-worker: certs/{name} is missing: enrol with --enroll and a token, or name it"
    )
    assert result.err.count("\n") == 1


@EITHER_WAY
def test_a_key_that_others_may_read_is_one_line(certs: Path, tmp_path: Path, worker: Program, check: list[str]) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "certs" / "worker.key").chmod(0o604)
    result = worker(*check)
    assert (result.code, result.out) == (2, "")
    assert result.err == "taskrun-worker: Others may read the key certs/worker.key: run chmod 600 certs/worker.key.\n"


@EITHER_WAY
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--certs-dir=nowhere"],
            "nowhere/worker.key is missing: enrol with --enroll and a token, or name it ",
        ),
        (["--ca-cert=bad.toml"], "bad.toml holds no certificate that can be read."),
        (["--max-concurrent-runs=0"], "--max-concurrent-runs is '0'"),
        (["--config=bad.toml"], "bad.toml: agents: agent 'x' has no `kind`: it must be"),
        (["--label=taskrun.containment=x"], "--label: 'taskrun.containment' is not yours to set"),
        (["--token=x"], "To enrol, give both"),
        (["--enroll=http://[::1]:1", "--token=x", "--cert=x"], "Enrolling fills the certs-dir"),
        (
            ["--enroll=http://[::1]:1", "--token-file=nowhere"],
            "The token file nowhere cannot be read: No such file or directory.",
        ),
        (["--enroll=http://[::1]:1", f"--token-file={sys.executable}"], "holds no token."),
        (["--enroll=http://[::1]:1", "--token=x"], "This is no bootstrap token"),
        (
            ["--enroll=https://[::1]:1", f"--token={TOKEN}", "--enroll-ca-cert=nowhere", "--certs-dir=new"],
            "nowhere is missing.",
        ),
        (
            ["--enroll=https://[::1]:1", f"--token={TOKEN}", "--enroll-ca-cert=certs", "--certs-dir=new"],
            "certs cannot be read: Is a directory.",
        ),
        (
            ["--enroll=https://[::1]:1", f"--token={TOKEN}", "--enroll-ca-cert=bad.toml", "--certs-dir=new"],
            "bad.toml holds no certificate that can be read.",
        ),
        (["--enroll=http://192.0.2.1:1", f"--token={TOKEN}", "--certs-dir=new"], "Plain http would show the bootstrap"),
        (["--enroll=http://[::1]:1", f"--token={TOKEN}"], "certs/ca.crt is another control plane's CA"),
    ],
)
def test_a_bad_setting_is_one_line(
    certs: Path, tmp_path: Path, worker: Program, check: list[str], options: list[str], message: str
) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "bad.toml").write_text('[[agents]]\nname = "x"\n')
    result = worker(*options, *check)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_work_dir_that_cannot_be_made_is_one_line(certs: Path, tmp_path: Path, worker: Program) -> None:
    (tmp_path / "file").touch()
    result = worker(f"--certs-dir={certs}", "--work-dir=file/x")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("taskrun-worker: file/x cannot be made: ")
    assert result.err.count("\n") == 1


def test_a_worker_loads_nothing_of_the_control_planes_http() -> None:
    loaded = "import sys, taskrun.apps.worker; print(*sys.modules)"
    modules = ended([sys.executable, "-c", loaded]).stdout.split()
    assert "taskrun.apps.worker_parts" in modules
    assert not {"uvicorn", "jinja2", "prometheus_client", "taskrun.apps.control_plane_parts"} & set(modules)


def test_check_asks_nobody_and_makes_nothing(certs: Path, tmp_path: Path, worker: Program) -> None:
    for words in ([f"--certs-dir={certs}"], ["--enroll=http://[::1]:1", f"--token={TOKEN}"]):
        result = worker("--check", "--addr=https://[::1]:1", "--work-dir=runs", *words)
        assert (result.code, result.out, result.err) == (0, "The configuration is valid.\n", "")
    assert list(tmp_path.iterdir()) == []


def test_who_has_enrolled_is_checked_by_what_it_got(certs: Path, tmp_path: Path, worker: Program) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "certs" / "worker.token").write_text("0" * 64)
    words = ("--check", "--enroll=http://[::1]:1", "--token-file=gone")
    assert worker(*words).code == 0
    (tmp_path / "certs" / "worker.key").chmod(0o644)
    result = worker(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_help_names_every_option_with_its_variable(worker: Program) -> None:
    shown = "".join(worker("--help").out.split())
    for row in table(WorkerSettings):
        assert row.flag in shown
        assert row.variable in shown
