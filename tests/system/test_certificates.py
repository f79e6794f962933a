"""Certificates that live: renewed under running tasks, cut when they end, revoked for good. With real processes.

`CERT_LIFE=20 CERT_RENEWALS=30 CERT_WORKERS=2` plays the renewals at their full length, which takes five minutes. Else
lives are long enough for a busy machine, and what is done often does not wait for a clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.client import Client
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.grpc.tls import ClientTls, ServerTls
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.apps.own_identity import OwnIdentity, ask_for_renewal
from taskrun.domain.certificates.certificate import CertificateQuery
from taskrun.domain.errors import Unauthenticated
from taskrun.domain.events import WorkerConnected
from taskrun.domain.records import OutputSegment, StoryEntry, Task, TaskSpec, WorkerInfo
from taskrun.domain.status import FailureKind, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.engine.certificates import Certificates
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon import Daemon
from taskrun.engine.gate import Gate
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.harness import RecordingTelemetry
from tests.adapters.grpc.stubs import StubEnrollment, StubKeys
from tests.system.site import ECHO, RunningProgram, Site, processes_of, soon
from tests.system.test_replicas import Replicas, addr, replicas
from tests.system.test_resuming import COUNTER, assert_told_once, count_to

__all__ = ["replicas"]

#: Seconds of a certificate's life, how often each worker renews it, and how many workers there are.
LIFE = int(os.environ.get("CERT_LIFE", "12"))
RENEWALS = int(os.environ.get("CERT_RENEWALS", "2"))
WORKERS = int(os.environ.get("CERT_WORKERS", "1"))
#: Seconds after the end, or the revocation, of a certificate until its stream is cut.
PROMISED = 5.0

#: The runs of a task whose worker had to go.
LOST_TO_OTHER = [("ending", FailureKind.WORKER_LOST), ("other", None)]

pytestmark = pytest.mark.timeout(120 + LIFE * RENEWALS)


def enrol(site: Site, worker_id: str) -> tuple[str, ...]:
    """The arguments with which a worker enrols by a token of its own."""
    token = site.client.create_token(worker_id).token
    return ("--enroll", f"http://{site.http_addr}", "--token", token)


def begun(site: Site, gate: Path, worker_id: str = "") -> Task:
    """A task that counts until the gate is there, by a worker of this id if it is given."""
    selector = (("name", worker_id),) if worker_id else ()
    task = site.create("counter", str(gate), selector=selector)
    count_to(site, task, 3)
    return site.client.get(task.id)


def renewed(site: Site, worker_id: str) -> int:
    """How many certificates the worker got by renewal; it has enrolled for the first."""
    return len(site.client.certificates(f"worker:{worker_id}")) - 1


def end_of_certificate(place: Path) -> float:
    """Unix seconds."""
    return x509.load_pem_x509_certificate((place / "worker.crt").read_bytes()).not_valid_after_utc.timestamp()


def said_at(program: RunningProgram, words: str) -> float:
    """When it has logged this, in Unix seconds."""
    line = next(line for line in program.log.splitlines() if words in line)
    return datetime.fromisoformat(json.loads(line)["time"]).timestamp()


async def test_thirty_renewals_under_a_running_task_lose_nothing(tmp_path: Path) -> None:
    """Each with another key, in the files, and on a stream of its own, as fast as they come."""
    init_certs(tmp_path)
    files = [tmp_path / name for name in ("ca.crt", "server.crt", "server.key")]
    tls = ServerTls(*(file.read_bytes() for file in files))
    clock, store, telemetry = SystemClock(), MemoryCertificateStore(), RecordingTelemetry()
    plane = ControlPlane(MemoryStore(), clock, UuidV7Source(), telemetry, ControlPlaneTimers())
    gate = Gate(store, clock, telemetry, plane.expel)
    certificates = Certificates(FileAuthority(files[0], tmp_path / "ca.key", clock), store, clock, gate.learn)
    parts = (plane, plane, plane, StubEnrollment(), certificates, gate)
    server = GrpcServer("[::1]:0", lambda: tls, parse_peer, *parts, keys=StubKeys())
    await plane.start()
    address = f"https://[::1]:{await server.start()}"
    ask = partial(ask_for_renewal, [address])
    identity = OwnIdentity(tmp_path / "worker.crt", tmp_path / "worker.key", files[0], ask)
    words: asyncio.Queue[str] = asyncio.Queue()

    async def tell(request: AgentRequest, sink: AgentSink) -> None:
        while word := await words.get():
            await sink.text(word)

    agents = [FunctionAgent("tell", tell)]
    info = WorkerInfo("host", "1", tuple(agent.spec for agent in agents))
    daemon = Daemon([GrpcConnector(address, identity.tls)], agents, info, clock, DaemonTimers(), 1, random.random, "p")
    life = asyncio.create_task(daemon.run())
    [task] = await plane.create([TaskSpec("tell", "1")], "me")
    assert isinstance(task, Task)
    story = plane.watch(task.id)
    heard, keys = "", {identity.tls().key_pem}
    for number in range(31):
        if number:
            await identity.renew()
            daemon.renewed()
            keys.add(identity.tls().key_pem)
        words.put_nowait(f"{number};")
        while not heard.endswith(f"{number};"):
            heard += said_in(await anext(story))
    words.put_nowait("")
    async for entries in story:
        heard += said_in(entries)
    done = await plane.get(task.id)
    daemon.drain()
    await life
    await plane.stop()
    await server.stop(0)
    assert heard == "".join(f"{number};" for number in range(31))
    assert (done.status, len(done.runs), len(keys)) == (TaskStatus.COMPLETED, 1, 31)
    assert sum(isinstance(event, WorkerConnected) for event in telemetry.events) == 31
    assert len((await store.find(CertificateQuery(limit=100))).certificates) == 30


def said_in(entries: Sequence[StoryEntry]) -> str:
    """The output in a part of a story."""
    bodies = (entry.body for entry in entries)
    return "".join(text for body in bodies if isinstance(body, OutputSegment) for text in body.contents)


def test_certificates_are_renewed_at_half_their_lives_under_running_tasks_and_nothing_is_lost(
    tmp_path: Path, gate: Path
) -> None:
    with Site(tmp_path) as site:
        site.start_plane("--worker-cert-life", f"{LIFE}s", "--store", f"sqlite:{tmp_path / 'tasks.db'}")
        names = [f"w-{number}" for number in range(WORKERS)]
        workers = [
            site.launch_worker(name, *enrol(site, name), "--label", f"name={name}", agents=[COUNTER, ECHO])
            for name in names
        ]
        soon(lambda: site.worker_ids() == names)
        tasks = {name: begun(site, gate, name) for name in names}
        soon(lambda: all(renewed(site, name) >= RENEWALS for name in names), 2.0 * LIFE * RENEWALS)
        gate.touch()
        for name, task in tasks.items():
            done = site.end_of(task.id)
            assert_told_once(site, done)
            assert done.runs[0].worker_id == name
        assert site.end_of(site.create("echo", "still here").id).status is TaskStatus.COMPLETED
        assert all(worker.is_running for worker in workers)
        # Where a certificate lives for seconds only, a busy machine may be late for this, and for nothing else.
        assert LIFE < 20 or "ends in" not in site.plane.log


def test_with_renewal_blocked_the_stream_is_cut_soon_after_the_end_and_the_run_goes_to_another(
    tmp_path: Path, gate: Path
) -> None:
    with Site(tmp_path) as site:
        site.start_plane("--worker-grace", "2s", "--worker-cert-life", "12s")
        ending = site.launch_worker("ending", *enrol(site, "ending"), agents=[COUNTER])
        place = site.place
        # There is a directory where the next key should be.
        (place / "worker.key.next").mkdir()
        soon(lambda: site.worker_ids() == ["ending"])
        task = begun(site, gate)
        # Its certificate was made elsewhere, and lives for a week.
        site.start_worker("other", agents=[COUNTER])
        assert ending.wait() != 0
        end = end_of_certificate(place)
        assert end <= said_at(site.plane, "The client certificate has expired.") <= end + PROMISED
        assert "the worker's certificate was not renewed and ends in" in site.plane.log
        assert "is not renewed: " in ending.log
        # It is told, or finds out by itself when it comes again.
        assert re.search("certificate (has )?expired", ending.log)
        gate.touch()
        done = site.end_of(task.id)
        assert [(run.worker_id, run.failure) for run in done.runs] == LOST_TO_OTHER
        assert not processes_of(done.runs[0].id)
        assert site.metrics()["taskrun_worker_certificates_aged"] == 0


def test_a_revoked_worker_is_put_out_at_once_and_stays_out_after_a_restart_until_it_enrols_anew(
    tmp_path: Path, gate: Path
) -> None:
    durable = ("--store", f"sqlite:{tmp_path / 'tasks.db'}")
    with Site(tmp_path) as site:
        plane = site.start_plane(*durable)
        arguments = enrol(site, "ending")
        stolen = site.start_worker("ending", *arguments, agents=[COUNTER])
        place = site.place
        task = begun(site, gate)
        site.start_worker("other", agents=[COUNTER])
        began = time.monotonic()
        answer = site.run("revoke-worker", "ending", "--json")
        soon(lambda: site.last_worker(task.id) == "other")
        assert time.monotonic() - began < PROMISED
        assert site.worker_ids() == ["other"]
        assert stolen.wait() != 0
        assert "The client certificate was revoked." in stolen.log
        [told] = json.loads(answer.stdout)["certificates"]
        assert (told["owner"], told["state"]) == ("worker:ending", "REVOKED")
        plane.kill()
        site.start_plane(*durable, "--grpc-addr", f"[::1]:{site.grpc_port}")
        again = site.relaunch_worker(place, *arguments)
        assert again.wait() != 0
        assert "The client certificate was revoked." in again.log
        site.relaunch_worker(place, *enrol(site, "ending"))
        soon(lambda: site.worker_ids() == ["ending", "other"])
        listed = [(each.owner, each.state(0).value) for each in site.client.certificates("worker:ending")]
        assert listed == [("worker:ending", "VALID"), ("worker:ending", "REVOKED")]
        gate.touch()
        assert [(run.worker_id, run.failure) for run in site.end_of(task.id).runs] == LOST_TO_OTHER


def test_a_client_is_listed_and_put_out_by_its_name_or_its_serial_number(tmp_path: Path, gate: Path) -> None:
    durable = ("--store", f"sqlite:{tmp_path / 'tasks.db'}")
    with Site(tmp_path) as site:
        plane = site.start_plane(*durable)
        site.start_worker("w-1")
        task = site.begin(gate)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for name in ("ca.crt", "ca.key"):
            shutil.copy2(site.certs / name, elsewhere)
        ann, bob, eve = new_client(site, "ann"), new_client(site, "bob", elsewhere), new_client(site, "eve", elsewhere)
        soon(lambda: listed(site, "client:ann") == [(serial_of(ann), "VALID")])
        with Client(site.grpc_addr, bob) as client:
            client.workers()
        soon(lambda: listed(site, "client:bob") == [(serial_of(bob), "VALID")])
        with Client(site.grpc_addr, ann) as client:
            watching = client.watch(task.id)
            next(watching)
            began = time.monotonic()
            assert site.run("revoke-client", "ann").returncode == 0
            with pytest.raises(Unauthenticated, match="was revoked"):
                list(watching)
            assert time.monotonic() - began < PROMISED
        # Nobody knows of this one: its number is enough.
        assert listed(site, "client:eve") == []
        assert site.client.revoke_serial(serial_of(eve)) == []
        plane.kill()
        site.start_plane(*durable, "--grpc-addr", f"[::1]:{site.grpc_port}")
        for tls in (ann, eve):
            with Client(site.grpc_addr, tls) as client, pytest.raises(Unauthenticated, match="was revoked"):
                client.workers()
        assert listed(site, "client:ann") == [(serial_of(ann), "REVOKED")]
        with Client(site.grpc_addr, new_client(site, "ann")) as client:
            assert client.get(task.id).id == task.id
        gate.touch()


def new_client(site: Site, name: str, certs: Path | None = None) -> ClientTls:
    """A certificate that is made where the CA's key is, or a copy of it, with no control plane to ask."""
    to = site.directory / f"{name}-{time.monotonic_ns()}"
    made = site.run("create-client", name, "--role", "read", "--dir", str(certs or site.certs), "--to", str(to))
    assert made.returncode == 0, made.stderr
    return ClientTls(*((to / file).read_bytes() for file in ("ca.crt", "client.crt", "client.key")))


def serial_of(tls: ClientTls) -> str:
    return parse_peer(tls.cert_pem).serial


def listed(site: Site, owner: str) -> list[tuple[str, str]]:
    """The certificates of an owner, each with its state, newest first."""
    return [(each.serial, each.state(time.time_ns() // 1_000_000).value) for each in site.client.certificates(owner)]


def test_what_one_control_plane_is_told_to_revoke_all_put_out(replicas: Replicas, gate: Path) -> None:
    site = replicas.site
    a, b = replicas.start(), replicas.start()
    replicas.turn_to(b)
    one = site.start_worker("ending", *enrol(site, "ending"), agents=[COUNTER], addr=addr(b))
    task = begun(site, gate)
    site.start_worker("other", agents=[COUNTER], addr=addr(b))
    [certificate] = a.client.certificates("worker:ending")
    began = time.monotonic()
    assert len(a.client.revoke_serial(certificate.serial)) == 1
    soon(lambda: site.last_worker(task.id) == "other")
    assert time.monotonic() - began < PROMISED
    assert one.wait() != 0
    gate.touch()
    assert [(run.worker_id, run.failure) for run in site.end_of(task.id).runs] == LOST_TO_OTHER
