from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

import taskrun.apps.control_plane
from taskrun.adapters.ca.files import init_certs
from taskrun.apps.cli.children import PATIENCE
from taskrun.apps.configuration import table
from taskrun.apps.control_plane import serve
from taskrun.apps.kinds import HostPort, StorePlace
from taskrun.apps.settings import ControlPlaneSettings
from taskrun.engine.control_plane import ControlPlane
from tests.apps.conftest import Program
from tests.apps.places import PLANE, Site, ended, send


def test_it_says_where_it_listens_and_that_it_is_well(site: Site) -> None:
    site.start()
    with urllib.request.urlopen(f"{site.http_addr}/health", timeout=PATIENCE) as answer:
        assert json.loads(answer.read()) == {"status": "ok"}
    with urllib.request.urlopen(f"{site.http_addr}/metrics", timeout=PATIENCE) as answer:
        assert b'taskrun_tasks_total{status="pending"} 0.0' in answer.read()


def test_http_can_have_tls_and_workers_enrol_over_it(site: Site, agents: Path, tmp_path: Path) -> None:
    site.start("--http-tls")
    token = site.cli("create-token", "--worker-id=far").stdout.strip()
    https = site.http_addr.replace("http:", "https:")
    trust = f"--enroll-ca-cert={site.certs / 'ca.crt'}"
    worker = site.worker(
        f"--enroll={https}", f"--token={token}", trust, f"--certs-dir={tmp_path / 'far'}", config=agents
    )
    assert worker.wait_for("enrolled")["worker_id"] == "far"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(site: Site, number: signal.Signals) -> None:
    plane = site.start()
    send(plane, number)
    plane.wait_for("stopped", 10.0)
    assert plane.stop() == 0


def test_it_ends_in_time_while_workers_and_watchers_are_connected(site: Site, agents: Path) -> None:
    plane = site.start()
    site.worker(config=agents)
    task_id = site.cli("create-task", "--agent=gated", "--input=/never").stdout.strip()
    watcher = site.child(
        "watcher", [sys.executable, "-m", "taskrun.apps.cli", "watch-task", task_id], **site.variables()
    )
    watcher.wait_for("begun")
    send(plane, signal.SIGTERM)
    plane.wait_for("stopped", 10.0)
    assert plane.stop() == 0


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        yield f"[::1]:{listener.getsockname()[1]}"


def test_a_taken_port_is_one_line(certs: Path, taken: str) -> None:
    result = ended([*PLANE, f"--certs-dir={certs}", f"--grpc-addr={taken}"])
    assert result.returncode == 1
    assert result.stderr.startswith(f"taskrun-control-plane: Cannot listen on https://{taken}: ")
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)


def test_a_taken_http_port_is_one_line(certs: Path, taken: str, control_plane: Program) -> None:
    result = control_plane(f"--certs-dir={certs}", f"--http-addr={taken}")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"taskrun-control-plane: Cannot listen for HTTP on {taken}: ")
    assert result.err.count("\n") == 1


#: What is wrong with the settings, or with the files that they name, is found by both, and nothing is made before.
EITHER_WAY = pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])


@EITHER_WAY
@pytest.mark.parametrize("name", ["ca.key", "server.key"])
def test_a_key_that_others_may_read_is_one_line(
    certs: Path, tmp_path: Path, control_plane: Program, check: list[str], name: str
) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "certs" / name).chmod(0o640)
    result = control_plane("--certs-dir=certs", *check)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"taskrun-control-plane: Others may read the key certs/{name}: run chmod 600 ")
    assert result.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["certs"]


@EITHER_WAY
@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key"])
def test_a_missing_file_is_one_line(
    certs: Path, tmp_path: Path, control_plane: Program, check: list[str], name: str
) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    (tmp_path / "certs" / name).unlink()
    result = control_plane("--certs-dir=certs", *check)
    assert (result.code, result.out) == (2, "")
    advice = "taskrun init makes it, or name its directory by --certs-dir."
    assert result.err == f"taskrun-control-plane: certs/{name} is missing: {advice}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["certs"]


def without_server_auth(certs: Path) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(certs / f"worker.{suffix}", certs / f"server.{suffix}")


def of_another_ca(certs: Path) -> None:
    init_certs(certs.parent / "other")
    for suffix in ("crt", "key"):
        shutil.copy(certs.parent / "other" / f"server.{suffix}", certs / f"server.{suffix}")


@EITHER_WAY
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_server_auth, "certs/server.crt is no certificate for servers (serverAuth)"),
        (of_another_ca, "certs/server.crt was not signed by the CA certs/ca.crt"),
    ],
)
def test_a_certificate_that_nobody_would_accept_is_one_line_before_anything_is_opened(
    certs: Path,
    tmp_path: Path,
    taken: str,
    control_plane: Program,
    check: list[str],
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    shutil.copytree(certs, tmp_path / "certs")
    spoil(tmp_path / "certs")
    # The port is taken: that would be said first if it were asked for.
    result = control_plane("--certs-dir=certs", f"--http-addr={taken}", "--grpc-addr=[::1]:0", *check)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"taskrun-control-plane: {said}: workers and clients would refuse it.\n"


@EITHER_WAY
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--http-addr=[::]:0"], "Plain HTTP on [::]:0 would be open to other machines: "),
        (["--http-addr=192.0.2.1:80"], "Plain HTTP on 192.0.2.1:80 would be open to other machines: "),
        (["--grpc-addr=[::1]:50052"], "gRPC and HTTP cannot both listen on [::1]:50052: "),
    ],
)
def test_addresses_that_cannot_be_listened_on_are_one_line(
    certs: Path, control_plane: Program, check: list[str], options: list[str], message: str
) -> None:
    result = control_plane(f"--certs-dir={certs}", *options, *check)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"taskrun-control-plane: {message}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--http-addr=[::]:0", "--http-tls"],
        ["--http-addr=0.0.0.0:0", "--http-unsafe-no-tls"],
        ["--http-addr=plane.example.org:80"],
        ["--http-addr=[::1%lo]:0", "--grpc-addr=[::1%lo]:0"],
    ],
    ids=["TLS", "insisted on", "a name", "any port"],
)
def test_addresses_that_may_be_listened_on_pass_the_check(
    certs: Path, control_plane: Program, options: list[str]
) -> None:
    assert control_plane("--check", f"--certs-dir={certs}", *options).code == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--stop-timeout=soon", "--stop-timeout is 'soon': it must be a duration"),
        ("--http-host=a b", "--http-host is 'a b': it must be DNS names or IP addresses, without scheme, port and"),
        ("--http-host=*", "--http-host is '*': it must be"),
        ("--no-such-option", "No such option '--no-such-option'"),
        ("--config=missing.toml", "missing.toml cannot be read: No such file"),
    ],
)
def test_a_bad_setting_is_one_line(control_plane: Program, option: str, message: str) -> None:
    result = control_plane(option)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("store", ["sqlite", "memory", "postgresql://nobody@/none?host=/nowhere"])
def test_check_opens_no_port_and_no_store(certs: Path, tmp_path: Path, taken: str, store: str) -> None:
    options = (f"--certs-dir={certs}", f"--grpc-addr={taken}", f"--store={store}")
    result = ended([*PLANE, "--check", *options], cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "The configuration is valid.\n", "")
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_file_can_be_a_variable(
    tmp_path: Path, control_plane: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plane.toml").write_text("colour = 1")
    monkeypatch.setenv("TASKRUN_CONTROL_PLANE_CONFIG", "plane.toml")
    result = control_plane("--check")
    assert result.err == "taskrun-control-plane: plane.toml: there is no setting 'colour'.\n"


def test_help_names_every_option_with_its_variable(control_plane: Program) -> None:
    shown = "".join(control_plane("--help").out.split())
    for row in table(ControlPlaneSettings):
        assert row.flag in shown
        assert row.variable in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@/none?host=/nowhere", "database none at /nowhere: "),
        ("postgresql://?x=y", "The URL of"),
    ],
)
def test_a_postgresql_that_cannot_be_used_is_one_line(control_plane: Program, certs: Path, url: str, said: str) -> None:
    ended = control_plane(f"--certs-dir={certs}", f"--store={url}", "--grpc-addr=[::1]:0", "--http-addr=[::1]:0")
    assert ended.code == 2
    assert ended.err.startswith(f"taskrun-control-plane: {said}")
    assert len(ended.err.splitlines()) == 1
    assert "secret" not in ended.err


def test_the_driver_is_loaded_only_when_it_is_wanted() -> None:
    script = "import sys, taskrun.apps.control_plane; print(any(name.startswith('psycopg') for name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


async def test_its_health_is_503_until_it_has_ended(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Callable[[], None]] = []
    lines: list[str] = []
    answers: list[int] = []
    stop_engine = ControlPlane.stop

    async def ask_and_stop(engine: ControlPlane) -> None:
        http_addr = next(line for line in lines if line)
        answers.append(await asyncio.to_thread(health, http_addr))
        await stop_engine(engine)

    monkeypatch.setattr(taskrun.apps.control_plane, "on_stop", steps.append)
    monkeypatch.setattr(taskrun.apps.control_plane, "ignore_stops", lambda: None)
    monkeypatch.setattr(taskrun.apps.control_plane, "collect_rarely", lambda: steps[0]())
    monkeypatch.setattr(ControlPlane, "stop", ask_and_stop)
    any_port = HostPort("::1", 0)
    sink = logger.add(lambda message: lines.append(message.record["extra"].get("http_addr", "")))
    try:
        memory = StorePlace("memory")
        await serve(ControlPlaneSettings(grpc_addr=any_port, http_addr=any_port, certs_dir=certs, store=memory))
    finally:
        logger.remove(sink)
    assert answers == [503]


def health(http_addr: str) -> int:
    """The HTTP status that says how a control plane is."""
    try:
        with urllib.request.urlopen(f"http://{http_addr}/health", timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
