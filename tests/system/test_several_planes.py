"""Several addresses of one store: who loses the control plane that he is with goes on at another."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.proxy import Proxy
from tests.system.site import BIN, Site, soon
from tests.system.test_resuming import COUNTER, assert_told_once, begun, count_to

FILES = {"ca-cert": "ca.crt", "cert": "client.crt", "key": "client.key"}


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of ::1 that is nobody else's: a server that reuses addresses can listen there, until then it refuses."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("::1", 0))
        yield held.getsockname()[1]


def test_a_run_goes_on_at_another_address_when_its_control_plane_is_killed(tmp_path: Path, gate: Path) -> None:
    durable = ("--store", f"sqlite:{tmp_path / 'tasks.db'}")
    with Site(tmp_path) as site, reserved_port() as other:
        site.start_plane(*durable)
        worker = site.start_worker("one", agents=[COUNTER], addr=f"{site.grpc_addr},[::1]:{other}")
        task = begun(site, gate)
        site.plane.kill()
        site.start_plane(*durable, "--grpc-addr", f"[::1]:{other}")
        count_to(site, task, 30)
        gate.touch()
        assert_told_once(site, site.end_of(task.id))
        assert f'"to": "https://[::1]:{other}"' in worker.log


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_is_with_the_other_at_once_and_takes_no_rest(tmp_path: Path, end: signal.Signals) -> None:
    with Site(tmp_path) as site:
        planes = []
        for _ in range(2):
            site.start_plane()
            planes.append((site.plane, site.grpc_addr, site.client))
        addresses = ",".join(address for _, address, _ in planes)
        # A rest would be longer than this test may take.
        worker = site.launch_worker("one", "--reconnect=10h", "--reconnect-max=10h", addr=addresses)
        here = str(worker.wait_for("connected")["to"])
        [(plane, _, _)] = [known for known in planes if here.endswith(known[1])]
        [(_, _, client)] = [known for known in planes if not here.endswith(known[1])]
        plane.end(end)
        soon(lambda: [view.id for view in client.workers()] == ["one"])


@pytest.mark.parametrize("words", [("watch-task",), ("create-task", "--agent=counter", "--watch")])
def test_who_watches_goes_on_at_another_address_and_sees_all_of_it_once(
    site: Site, gate: Path, words: tuple[str, ...]
) -> None:
    site.start_worker("one", agents=[COUNTER])
    with Proxy(site.grpc_port) as one, Proxy(site.grpc_port) as two:
        addresses = [f"--addr={proxy.addr}" for proxy in (one, two)]
        known = [f"--{flag}={site.certs / name}" for flag, name in FILES.items()]
        what = [begun(site, gate).id] if words == ("watch-task",) else [f"--input={gate}"]
        with subprocess.Popen(
            [str(BIN / "taskrun"), *words, *what, *addresses, *known],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watcher:
            assert watcher.stdout is not None
            assert watcher.stderr is not None
            seen = [watcher.stdout.readline() for _ in range(3)]
            for proxy in (one, two):
                proxy.cut()
            seen += [watcher.stdout.readline() for _ in range(20)]
            gate.touch()
            # What was read ahead for a line is in the stream alone: `communicate` would pass it over.
            rest, remarks = watcher.stdout.read(), watcher.stderr.read()
        assert (watcher.returncode, one.connections, two.connections) == (0, 1, 1), remarks
    *numbers, end = "".join([*seen, rest]).split()
    assert (numbers, end) == ([str(n + 1) for n in range(len(numbers))], "DONE")


def test_when_all_addresses_fail_one_line_names_each(site: Site) -> None:
    with reserved_port() as one, reserved_port() as two:
        site.grpc_addr = f"https://[::1]:{one},https://[::1]:{two}"
        done = site.run("list-tasks")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    said = "nothing listens there"
    assert f"https://[::1]:{one}: {said}" in done.stderr
    assert f"https://[::1]:{two}: {said}" in done.stderr
    assert done.stderr.startswith("taskrun: No control plane can be reached: ")
