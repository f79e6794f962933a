"""Real programs for tests: where their files are, and how they are started and listened to."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from taskrun.apps.cli import children
from taskrun.apps.cli.children import CONTROL_PLANE, WORKER, Child, plain_environ

PATIENCE = 60.0
PLANE = [*CONTROL_PLANE, "--grpc-addr=[::1]:0", "--http-addr=[::1]:0", "--store=memory"]
CLI = [*children.CLI]


def environ(**more: str) -> dict[str, str]:
    """This machine's, without settings of TaskRun's."""
    return plain_environ() | more


def ended(
    argv: Sequence[str], cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program, run to its end."""
    return subprocess.run(
        argv,
        env=environ() | dict(variables or {}),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def descendants(pid: int) -> list[psutil.Process]:
    """The processes below this one."""
    return psutil.Process(pid).children(recursive=True)


def all_gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether none of them is left soon."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    return not alive


@dataclass
class Site:
    """A control plane's certificates and, once it is started, where it is."""

    certs: Path
    grpc_addr: str = ""
    http_addr: str = ""
    children: list[Child] = field(default_factory=list)

    def start(self, *options: str) -> Child:
        """A control plane on ports of its own."""
        plane = self.child("control plane", [*PLANE, f"--certs-dir={self.certs}", *options])
        ready = plane.wait_for("ready", PATIENCE)
        self.grpc_addr, self.http_addr = f"https://{ready['grpc_addr']}", f"http://{ready['http_addr']}"
        return plane

    def worker(self, *options: str, config: Path | None = None) -> Child:
        """A worker that is connected."""
        files = [f"--certs-dir={self.certs}", f"--addr={self.grpc_addr}", *([f"--config={config}"] if config else [])]
        worker = self.child("worker", [*WORKER, *files, *options])
        worker.wait_for("connected", PATIENCE)
        return worker

    def child(self, name: str, argv: Sequence[str], **more: str) -> Child:
        """A program that is ended with the test."""
        child = Child(name, argv, environ(**more))
        self.children.append(child)
        return child

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`taskrun`, by its administrator, to its end."""
        return ended([*CLI, *words], variables=self.variables())

    def variables(self) -> dict[str, str]:
        """What the command line needs to know."""
        return {
            "TASKRUN_ADDR": self.grpc_addr,
            "TASKRUN_CA_CERT": str(self.certs / "ca.crt"),
            "TASKRUN_CERT": str(self.certs / "client.crt"),
            "TASKRUN_KEY": str(self.certs / "client.key"),
        }

    def close(self) -> None:
        """Ends what was started, the last first."""
        for child in reversed(self.children):
            child.end()


def send(child: Child, signal_number: signal.Signals) -> None:
    """A signal to a program, by its id."""
    os.kill(child.pid, signal_number)


AGENTS = """
[[agents]]
name = "echo"
kind = "command"
command = ["cat"]

[[agents]]
name = "failing"
kind = "command"
command = ["sh", "-c", "echo so far; exit 3"]

# Says that it has begun, and ends when a file is there.
[[agents]]
name = "gated"
kind = "command"
command = ["sh", "-c", "echo begun; read gate; while [ ! -e $gate ]; do sleep 0.05; done; echo done"]
"""
