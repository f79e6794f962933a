"""The driver for real processes: mutual TLS, enrolled workers, Claude Code. Its time is real, and passes faster."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import psutil

from taskrun.adapters.grpc.client import Client
from taskrun.adapters.http.enroll_client import request_enrollment
from taskrun.apps.enrolling import enroll
from taskrun.domain.errors import FailedPrecondition, NotFound, TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.limits import MAX_LABELS
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken
from taskrun.testing.scripted_model import ScriptedModel
from tests.acceptance.driver import Caller, WorkerSetup
from tests.acceptance.processes.agents import Company
from tests.acceptance.processes.control_plane import RESUME, ControlPlaneProcess
from tests.acceptance.processes.program import LoggedProgram
from tests.proxy import Proxy

#: Seconds of a scenario that pass in one real second.
SPEED = 15
#: Real seconds that anything may take on a machine that is busy with something else.
PATIENCE = 30

#: What of a task is in the scenario's time.
_LIMITS = ("timeout_ms", "silence_timeout_ms", "queue_timeout_ms")

_numbers = count(1)


class ProcessesDriver:
    """Implements `Driver` for one scenario of many on one control plane. A context manager."""

    def __init__(self, plane: ControlPlaneProcess, directory: Path) -> None:
        self._plane, self._client, self._directory = plane, plane.client, directory
        self._company = Company(directory)
        self._workers: dict[str, LoggedProgram] = {}
        self._tasks: set[str] = set()
        #: The way of each worker to the control plane.
        self._ways: dict[str, Proxy] = {}
        self._stack = ExitStack()
        #: Tells this scenario's tasks from those of others.
        self._scope = {"scenario": str(next(_numbers))}

    def __enter__(self) -> ProcessesDriver:
        self._metrics_before = self._plane.metrics()
        self._model = self._stack.enter_context(ScriptedModel(self._company.script))
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for task_id in self._tasks:
                self._end(task_id)
            for program in self._workers.values():
                _send_home(program)
            self._wait_until(lambda: not self._client.workers())
            self._wait_until(lambda: not self._left())

    def _end(self, task_id: str) -> None:
        try:
            self._client.cancel(task_id)
        except FailedPrecondition:
            pass

    def _left(self) -> list[str]:
        """The runs of this scenario that still execute."""
        executing = _executing()
        return [run.id for task_id in self._tasks for run in self._client.get(task_id).runs if run.id in executing]

    def _wait_until(self, check: Callable[[], bool]) -> None:
        for _ in self.moments(0):
            if check():
                return
        raise AssertionError("That should have come about.")

    # Enrolment.

    def create_token(self, worker_id: str, ttl_seconds: int) -> BootstrapToken:
        return self._client.create_token(worker_id, ttl_seconds * 1000)

    def enrol(self, token: str) -> str:
        directory = self._directory / "enrolled"
        worker_id = asyncio.run(enroll(self._plane.http_url, token, directory))
        self._plane.identities[worker_id] = directory
        return worker_id

    def enrol_malformed(self, token: str) -> None:
        request_enrollment(self._plane.http_url, token, b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n")

    def revoke_worker(self, worker_id: str) -> None:
        # Whoever comes under its name afterwards enrols anew.
        self._plane.identities.pop(worker_id, None)
        self._client.revoke_worker(worker_id)

    # Clients.

    def client(self, name: str, role: str) -> Caller:
        numbered = self._directory / f"{name}-{next(_numbers)}"
        tls = self._plane.create_client(name, role, numbered)
        return ProcessesCaller(self, self._stack.enter_context(Client(self._plane.grpc_url, tls)))

    def revoke_client(self, name: str) -> None:
        self._client.revoke_client(name)

    # Workers.

    def start_worker(self, worker_id: str, setup: WorkerSetup) -> None:
        way = self._ways[worker_id] = self._stack.enter_context(Proxy(self._plane.grpc_port))
        config = self._directory / f"{worker_id}.toml"
        config.write_text(self._company.definitions(setup.agents))
        arguments = [
            *("--addr", f"https://{way.addr}", "--config", str(config), *self._identity(worker_id)),
            *("--heartbeat", "0.8", "--reconnect", "0.2", "--stop-grace", "3", "--resume-timeout", str(RESUME)),
            *(f"--label={key}={value}" for key, value in setup.labels.items()),
        ]
        if setup.slots is not None:
            arguments += ["--max-concurrent-runs", str(setup.slots)]
        self._workers[worker_id] = program = LoggedProgram("taskrun-worker", arguments, self._model.environ())
        program.wait_for("connected")
        self._wait_until(lambda: self._status(worker_id) is not None)

    def _identity(self, worker_id: str) -> list[str]:
        """The arguments by which a worker is who it is; the first time it enrols."""
        known = self._plane.identities.get(worker_id)
        if known is not None:
            return ["--certs-dir", str(known)]
        directory = self._plane.identities[worker_id] = self._plane.directory / worker_id
        token = self._plane.create_token(worker_id)
        return ["--certs-dir", str(directory), "--enroll", self._plane.http_url, "--token", token]

    def drain_worker(self, worker_id: str) -> None:
        self._workers[worker_id].tell(signal.SIGTERM)
        self._wait_until(lambda: self._status(worker_id) in (WorkerStatus.DRAINING, None))

    def kill_worker(self, worker_id: str) -> None:
        self._workers.pop(worker_id).end(signal.SIGKILL)

    def cut_worker(self, worker_id: str) -> None:
        self._ways[worker_id].cut()

    def freeze_worker(self, worker_id: str) -> None:
        self._workers[worker_id].tell(signal.SIGSTOP)

    def thaw_worker(self, worker_id: str) -> None:
        self._workers[worker_id].tell(signal.SIGCONT)

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        return self._client.workers(agent, status)

    def _status(self, worker_id: str) -> WorkerStatus | None:
        try:
            return self._client.worker(worker_id).status
        except NotFound:
            return None

    # Tasks.

    def create(self, spec: TaskSpec) -> Task:
        return self.create_by(self._client, spec)

    def create_by(self, client: Client, spec: TaskSpec) -> Task:
        """The task is the scenario's, whoever creates it."""
        # A spec that is too large anyhow stays as it is.
        labels = {**spec.labels, **self._scope} if len(spec.labels) < MAX_LABELS else spec.labels
        limits = {name: getattr(spec, name) // SPEED for name in _LIMITS}
        [answer] = client.create([replace(spec, labels=labels, **limits)])
        if isinstance(answer, TaskRunError):
            raise answer
        self._tasks.add(answer.id)
        return answer

    def get(self, task_id: str) -> Task:
        return self._client.get(task_id)

    def find(self, query: TaskQuery) -> TaskPage:
        return self._client.find(replace(query, labels={**query.labels, **self._scope}))

    def explain(self, task_id: str) -> Explanation:
        return self._client.explain(task_id)

    def cancel(self, task_id: str) -> Task:
        return self._client.cancel(task_id)

    def continue_task(self, task_id: str, message: str, *, fork: bool = False) -> Task:
        return self.continue_by(self._client, task_id, message, fork=fork)

    def continue_by(self, client: Client, task_id: str, message: str, *, fork: bool = False) -> Task:
        """As `create_by`."""
        task = client.continue_task(task_id, message, fork=fork)
        self._tasks.add(task.id)
        return task

    def watch(self, task_id: str, from_seq: int = 0) -> Generator[Sequence[StoryEntry], None, None]:
        yield from self._client.watch(task_id, from_seq)

    def finish(self, title: str) -> None:
        self._company.finish(title)

    def is_waiting(self, title: str) -> bool:
        return self._company.is_waiting(title)

    def is_executing(self, run_id: str) -> bool:
        return run_id in _executing()

    # The rest of the world.

    def metrics(self) -> Mapping[str, float]:
        before = self._metrics_before
        return {name: value - before.get(name, 0) for name, value in self._plane.metrics().items()}

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def moments(self, seconds: float) -> Iterator[None]:
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            yield
            time.sleep(0.02)


class ProcessesCaller:
    """Implements `Caller`, over a connection of its own."""

    def __init__(self, driver: ProcessesDriver, client: Client) -> None:
        self._driver, self._client = driver, client
        self.get, self.cancel = client.get, client.cancel
        self.create_token, self.certificates = client.create_token, client.certificates
        self.revoke_worker = client.revoke_worker

    def create(self, spec: TaskSpec) -> Task:
        return self._driver.create_by(self._client, spec)

    def continue_task(self, task_id: str, message: str) -> Task:
        return self._driver.continue_by(self._client, task_id, message)


def _send_home(program: LoggedProgram) -> None:
    """Ends a worker with its runs. It says goodbye, so that nobody waits for it to come back."""
    program.tell(signal.SIGCONT)
    while not program.has_ended(within=0.2):
        program.tell(signal.SIGTERM)
    program.end(signal.SIGTERM)


def _executing() -> set[str]:
    """The runs that any process of this machine belongs to."""
    runs = set()
    for process in psutil.process_iter():
        try:
            runs.add(process.environ().get("TASKRUN_RUN_ID", ""))
        except (psutil.Error, OSError):
            continue
    return runs - {""}
