"""A site: one control plane and its workers, each a process of its own, over mutual TLS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.grpc.client import Client
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.errors import TaskRunError
from taskrun.domain.records import OutputSegment, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import RunStatus, WorkerStatus
from tests.acceptance.processes.program import LoggedProgram
from tests.acceptance.samples import samples

#: Seconds that anything may take on a machine that is busy with something else.
PATIENCE = 60.0

BIN = Path(sys.executable).parent

Agent = Mapping[str, object]


def command(name: str, script: str, *arguments: str) -> Agent:
    """An agent that is a shell script: the task's input is on its standard input, the first argument is `$0`."""
    return {"name": name, "kind": "command", "command": ["sh", "-c", script, *arguments]}


#: Says its input.
ECHO = command("echo", "cat")
#: Says BEGUN, and when the file that its input names is there, DONE.
GATE = command("gate", 'gate=$(cat); echo BEGUN; until [ -e "$gate" ]; do sleep 0.05; done; echo DONE')


def as_table(agent: Agent) -> str:
    """The agent as a part of worker.toml. TOML writes texts and lists of them as JSON does."""
    return "".join(["[[agents]]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in agent.items())])


class RunningProgram(LoggedProgram):
    """One of TaskRun's programs, under the eyes of a test."""

    @property
    def pid(self) -> int:
        """Its process's id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended by itself or by what it was told."""
        code = self._process.wait(seconds)
        # What it said last may still be on its way to the log.
        self._reader.join(seconds)
        return code

    def kill(self) -> None:
        """Ends it, and all it holds here; doing it twice is harmless."""
        self.end(signal.SIGKILL, PATIENCE)


class Site:
    """A context manager: whatever was started in it is ended with it, by its process id."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certs = directory / "certs"
        self._stack = ExitStack()
        self._directories = iter(range(1_000_000))

    def __enter__(self) -> Site:
        init_certs(self.certs)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # Programs.

    def start_plane(self, *arguments: str) -> RunningProgram:
        """Starts the control plane and connects the client."""
        defaults = ["--certs-dir", str(self.certs), "--grpc-addr", "[::1]:0", "--http-addr", "[::1]:0"]
        defaults += ["--store", "memory"]
        self.plane = plane = self._start("taskrun-control-plane", [*defaults, *arguments])
        ready = plane.wait_for("ready")
        self.grpc_addr, self.http_addr = str(ready["grpc_addr"]), str(ready["http_addr"])
        self.client = self._stack.enter_context(Client(self.grpc_addr, self.admin()))
        return plane

    def start_worker(
        self,
        worker_id: str,
        *arguments: str,
        agents: Sequence[Agent] = (ECHO, GATE),
        addr: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> RunningProgram:
        """Starts a worker and returns when the control plane lists it."""
        worker = self.launch_worker(worker_id, *arguments, agents=agents, addr=addr, environ=environ)
        soon(lambda: worker_id in self.worker_ids())
        return worker

    def launch_worker(
        self,
        worker_id: str,
        *arguments: str,
        agents: Sequence[Agent] = (ECHO, GATE),
        addr: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> RunningProgram:
        """Starts a worker, whatever becomes of it; its files are in `place`."""
        place = self.place = self.directory / f"{worker_id}-{next(self._directories)}"
        place.mkdir()
        tls = self.identity(worker_id)
        for name, pem in (("ca.crt", tls.ca_pem), ("worker.crt", tls.cert_pem), ("worker.key", tls.key_pem)):
            (place / name).touch(mode=0o600)
            (place / name).write_bytes(pem)
        (place / "worker.toml").write_text("".join(map(as_table, agents)))
        return self.relaunch_worker(place, *arguments, addr=addr, environ=environ)

    def relaunch_worker(
        self, place: Path, *arguments: str, addr: str = "", environ: Mapping[str, str] | None = None
    ) -> RunningProgram:
        """Starts the worker whose files are there, as it was or with other arguments."""
        defaults = ["--addr", addr or self.grpc_addr, "--certs-dir", str(place), "--config", str(place / "worker.toml")]
        fast = ["--reconnect", "0.5", "--stop-grace", "2"]
        return self._start("taskrun-worker", [*defaults, *fast, *arguments], environ)

    def run(self, *arguments: str, cert: str = "client") -> subprocess.CompletedProcess[str]:
        """The command line tool, to its end."""
        files = {"--ca-cert": "ca.crt", "--cert": f"{cert}.crt", "--key": f"{cert}.key"}
        known = [word for flag, name in files.items() for word in (flag, str(self.certs / name))]
        words = [str(BIN / "taskrun"), "--addr", self.grpc_addr, *known, *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def _start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> RunningProgram:
        program = RunningProgram(name, arguments, environ)
        self._stack.callback(program.kill)
        return program

    # Identities.

    def admin(self) -> ClientTls:
        """The client that `taskrun init` makes."""
        return ClientTls(*((self.certs / name).read_bytes() for name in ("ca.crt", "client.crt", "client.key")))

    def identity(self, worker_id: str) -> ClientTls:
        """A certificate for a worker, as enrolment would give it."""
        key, csr = new_key_and_csr()
        files = (self.certs / "ca.crt", self.certs / "ca.key")
        authority = FileAuthority(*files, SystemClock())
        certificate = authority.sign_worker(csr, worker_id).certificate_pem
        return ClientTls(authority.certificate_pem(), certificate, key)

    # What is to be seen.

    @property
    def grpc_port(self) -> int:
        """Where gRPC listens."""
        return int(self.grpc_addr.rpartition(":")[2])

    def worker_ids(self) -> list[str]:
        """The connected workers."""
        away = WorkerStatus.DISCONNECTED
        return [worker.id for worker in self.client.workers() if worker.status is not away]

    def metrics(self) -> dict[str, float]:
        """What a scrape shows."""
        with urllib.request.urlopen(f"http://{self.http_addr}/metrics", timeout=PATIENCE) as answer:
            return samples(answer.read().decode())

    # Tasks.

    def create(self, agent: str, input: Any = None, **options: Any) -> Task:
        """Creates a task."""
        [answer] = self.client.create([TaskSpec(agent, json.dumps(input), **options)])
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    def begin(self, gate: Path) -> Task:
        """A task for the agent `gate`, as soon as that has begun."""
        task = self.create("gate", str(gate))
        self.wait_for_output(task.id, "BEGUN")
        return self.client.get(task.id)

    def wait_for_output(self, task_id: str, text: str) -> None:
        """Returns as soon as the task's last run has said this."""
        said: dict[str, str] = {}
        for body in (entry.body for entry in self.story(task_id)):
            if isinstance(body, OutputSegment):
                said[body.run_id] = said.get(body.run_id, "") + "".join(body.contents)
                if text in said[body.run_id]:
                    return
        raise AssertionError(f"The task has ended without {text!r}: {said}")

    def wait_for_status(self, task_id: str, status: RunStatus) -> None:
        """Returns as soon as a run of the task has this status."""
        for body in (entry.body for entry in self.story(task_id)):
            if isinstance(body, TaskChange) and body.run and body.run.status is status:
                return
        raise AssertionError(f"The task has ended without a run that was {status.value}.")

    def story(self, task_id: str) -> Iterator[StoryEntry]:
        """The task's story to its end, live."""
        for entries in self.client.watch(task_id):
            yield from entries

    def last_worker(self, task_id: str) -> str:
        """Who has or had the task's last run."""
        return self.client.get(task_id).runs[-1].worker_id

    def end_of(self, task_id: str) -> Task:
        """The task, once it has ended."""
        for _ in self.client.watch(task_id):
            pass
        return self.client.get(task_id)


def processes_of(run_id: str) -> list[str]:
    """The command lines of all processes of this machine that belong to a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TASKRUN_RUN_ID") == run_id:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def soon(check: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Returns when the check holds, at the latest after so many seconds. What no message tells has to be looked at."""
    give_up = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < give_up, "That should have come about."
        time.sleep(0.02)


def only_run(task: Task) -> str:
    """The id of the task's only run."""
    [run] = task.runs
    return run.id
