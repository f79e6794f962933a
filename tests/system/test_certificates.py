"""Certificates that live: renewed under running tasks, cut when they end, revoked for good. With real processes.

`CERT_LIFE=20 CERT_RENEWALS=30 CERT_WORKERS=2` plays the first at its full length, which takes five minutes.
"""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from taskrun.domain.records import Task
from taskrun.domain.status import FailureKind, TaskStatus
from tests.system.site import ECHO, Site, processes_of, soon
from tests.system.test_replicas import Replicas, addr, replicas
from tests.system.test_resuming import COUNTER, assert_told_once, count_to

__all__ = ["replicas"]

#: Seconds of a certificate's life, how often each worker renews it, and how many workers there are.
LIFE = int(os.environ.get("CERT_LIFE", "6"))
RENEWALS = int(os.environ.get("CERT_RENEWALS", "5"))
WORKERS = int(os.environ.get("CERT_WORKERS", "6"))
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


def test_certificates_are_renewed_thirty_times_under_running_tasks_and_nothing_is_lost(
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
        site.start_plane("--worker-grace", "2s")
        site.cert_life = timedelta(seconds=10)
        ending = site.launch_worker("ending", agents=[COUNTER])
        place = site.place
        # There is a directory where the next key should be.
        (place / "worker.key.next").mkdir()
        soon(lambda: site.worker_ids() == ["ending"])
        task = begun(site, gate)
        site.cert_life = timedelta(days=1)
        site.start_worker("other", agents=[COUNTER])
        soon(lambda: site.metrics()["taskrun_worker_certificates_aged"] == 1)
        end = end_of_certificate(place)
        soon(lambda: "ending" not in site.worker_ids())
        assert end <= time.time() <= end + PROMISED
        assert ending.wait() != 0
        assert "is not renewed: " in ending.log
        assert "The client certificate has expired." in ending.log
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
        listed = [(each.owner, each.state(0).value) for each in site.client.certificates()]
        assert listed == [("worker:ending", "VALID"), ("worker:ending", "REVOKED")]
        gate.touch()
        assert [(run.worker_id, run.failure) for run in site.end_of(task.id).runs] == LOST_TO_OTHER


def test_what_one_control_plane_is_told_to_revoke_all_put_out(replicas: Replicas, gate: Path) -> None:
    site = replicas.site
    a, b = replicas.start(), replicas.start()
    replicas.turn_to(b)
    one = site.start_worker("ending", *enrol(site, "ending"), agents=[COUNTER], addr=addr(b))
    task = begun(site, gate)
    site.start_worker("other", agents=[COUNTER], addr=addr(b))
    [certificate] = a.client.certificates()
    began = time.monotonic()
    assert len(a.client.revoke_serial(certificate.serial)) == 1
    soon(lambda: site.last_worker(task.id) == "other")
    assert time.monotonic() - began < PROMISED
    assert one.wait() != 0
    gate.touch()
    assert [(run.worker_id, run.failure) for run in site.end_of(task.id).runs] == LOST_TO_OTHER
