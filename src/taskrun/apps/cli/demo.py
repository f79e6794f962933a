"""`taskrun demo`: the whole story once, with real processes, real certificates and the real Claude Code."""

from __future__ import annotations

import json
import os
import stat
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.children import (
    CONTROL_PLANE,
    SCRIPTED_MODEL,
    WORKER,
    Child,
    Children,
    children,
    model_environ,
    own_name,
    plain_environ,
    provider_is_set,
)
from taskrun.apps.cli.connection import json_command
from taskrun.apps.cli.stage import PATIENCE, Performed, Report, audience, check, perform, prompt, quote, title, typed
from taskrun.apps.exits import FAILED, OK
from taskrun.domain.errors import TaskRunError

WORKER_ID = "demo-worker"
MODEL = "model"
TICKET = "I was charged twice for my invoice in May and would like the second payment back."
TRIAGED = ("priority", "category", "summary", "suggested_action")

#: A number that no other sleep on this machine is likely to have: it is looked for among the processes.
NAP = f"300.{os.getpid()}"
#: What makes the agent sleep: an order that the scripted model obeys, and a request that a real one understands.
NAP_PROMPTS = (f"[[bash: sleep {NAP}]]", f"Run exactly this with the Bash tool, in the foreground: sleep {NAP}")

METRICS = ("taskrun_tasks_total{", "taskrun_workers_connected{")


@click.command("demo")
@json_command
def demo(as_json: bool) -> int:
    """Shows the whole story once, in under a minute, and leaves nothing behind.

    A CA, a control plane, a worker that enrols by token, a task for Claude Code with live output, one that is
    cancelled, lists, metrics, and a clean stop. With ANTHROPIC_API_KEY it talks to the real provider; without, a
    scripted model on this machine answers.
    """
    with audience(as_json) as report:
        return _play(report)


def _play(report: Report) -> int:
    began = time.monotonic()
    with children() as family:
        story = Story(family.directory("taskrun-demo-"), family, report)
        try:
            story.tell()
        except TaskRunError as error:
            click.secho(f"\n✗ {error.message}", fg="red", err=True)
            story.say_what_was_logged()
            report({"error": error.message})
            return FAILED
    took = time.monotonic() - began
    click.secho(f"\nAll of this really happened, in {took:.0f} seconds.", fg="green", bold=True)
    click.echo(f"To play with it: {own_name()} dev")
    report({"seconds": round(took, 1)})
    return OK


class Story:
    """The steps, each of which checks what it shows. The processes end with `family`, however the story ends."""

    def __init__(self, directory: Path, family: Children, report: Report) -> None:
        #: Where all of it happens: the paths that are shown are true there.
        self._directory = directory
        self._family = family
        self._report = report
        #: What has happened in the step under way.
        self._happened: list[str] = []
        #: For the two programs, and with the way to the control plane for the command line.
        self._plain = plain_environ()
        self._environ = self._plain
        self._http = ""
        self._children: list[Child] = []

    def tell(self) -> None:
        """From the first certificate to the last process. Raises `TaskRunError` if anything does not happen."""
        self._introduce_model()
        steps: Sequence[tuple[str, Callable[[], None]]] = (
            ("A certificate authority, and certificates for everybody", self._make_certificates),
            ("A control plane: gRPC with mutual TLS, and HTTP", self._start_control_plane),
            ("A worker, let in by a one-time token", self._enroll_worker),
            ("A task for Claude Code, with live output", self._run_task),
            ("A task cancelled in the middle of a tool call", self._cancel_task),
            ("What there is", self._list),
            ("A look at /metrics", self._look_at_metrics),
            ("A clean stop", self._stop),
        )
        for number, (text, play) in enumerate(steps, 1):
            title(number, text)
            self._happened = []
            play()
            self._report({"step": number, "title": text, "happened": self._happened})

    def say_what_was_logged(self) -> None:
        """For whoever wants to know why the story broke off."""
        for child in self._children:
            click.secho(f"\nThe {child.name} said:", dim=True, err=True)
            for line in child.said().splitlines()[-10:]:
                showing.note(f"  {line}")

    def _start(self, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Child:
        child = self._family.start(name, argv, environ, cwd=self._directory)
        self._children.append(child)
        return child

    def _introduce_model(self) -> None:
        if provider_is_set():
            click.echo("ANTHROPIC_API_KEY is set: Claude Code talks to the real provider.")
            return
        model = self._start(MODEL, (*SCRIPTED_MODEL, "--delay=0.08"), self._plain)
        self._plain |= model_environ(str(model.wait_for("")["message"]))
        self._environ = self._plain
        click.secho(
            "No ANTHROPIC_API_KEY is set: a scripted model on this machine answers in the real one's place.",
            fg="yellow",
        )
        click.echo("Everything else is real, Claude Code included.")

    def _make_certificates(self) -> None:
        prompt(f"cd {self._directory}")
        made = self._perform("init", "--dir", "certs", "--host", "demo.example.org", shows="command")
        self._check(made.exit_code == OK and len(made.output.splitlines()) == 8, "four keys and four certificates")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (self._directory / "certs").glob("*.key")}
        self._check(modes == {0o600}, "the keys are for their owner alone")

    def _start_control_plane(self) -> None:
        argv = [*CONTROL_PLANE, "--grpc-addr", "[::1]:0", "--http-addr", "[::1]:0"]
        prompt(f"{typed(argv)} &")
        ready = self._start("control plane", argv, self._environ).wait_for("ready")
        self._http = f"http://{ready['http_addr']}"
        # The certificates are where they are looked for; the ports are not the usual ones, which may be taken.
        addr = f"https://{ready['grpc_addr']}"
        prompt(f"export TASKRUN_ADDR={addr}")
        self._environ = self._plain | {"TASKRUN_ADDR": addr}
        self._check(json.loads(self._get("/health")) == {"status": "ok"}, f"{self._http}/health says ok")

    def _enroll_worker(self) -> None:
        token = self._perform("create-token", "--worker-id", WORKER_ID, shows="command").output.strip()
        quote(f"{token[:32]}...")
        argv = [*WORKER, "--enroll", self._http, "--certs-dir", "worker"]
        prompt(f"TASKRUN_TOKEN={token[:16]}... {typed(argv)} &")
        self._start("worker", argv, self._environ | {"TASKRUN_TOKEN": token}).wait_for("connected")
        key = self._directory / "worker" / "worker.key"
        self._check(key.exists(), "it made its key itself and got a certificate for 7 days")
        listed = json.loads(self._perform("list-workers", "--json").output)["workers"]
        self._check([each["worker_id"] for each in listed] == [WORKER_ID], f"the control plane knows it as {WORKER_ID}")

    def _run_task(self) -> None:
        task = self._perform("create-task", "--agent", "support_triage", "--input", TICKET, "--watch", shows="all")
        self._check(task.exit_code == OK, "the task is COMPLETED")
        self._check(all(_object(task.output).get(key) for key in TRIAGED), f"the answer is JSON: {', '.join(TRIAGED)}")

    def _cancel_task(self) -> None:
        wish = NAP_PROMPTS[provider_is_set()]
        made = self._perform("create-task", "--agent", "general", "--input", wish, shows="command")
        task_id = made.output.strip()
        quote(task_id)
        cancelled: list[Performed] = []

        def cancel(said: str) -> None:
            if "· Bash" in said and not cancelled:
                self._check(_falls_asleep(NAP), "its shell command is running")
                cancelled.append(self._perform("cancel-task", task_id, shows="all"))

        watched = self._perform("watch-task", task_id, watch=cancel, shows="all")
        self._check(cancelled and watched.exit_code == FAILED, "the task was told to stop, and has ended")
        task = json.loads(self._perform("get-task", task_id, "--json").output)
        self._check(task["status"] == "CANCELLED", "it is CANCELLED")
        self._check(not _sleepers(NAP), "no process of it is left")

    def _list(self) -> None:
        tasks = self._perform("list-tasks", shows="all").output
        self._check("COMPLETED" in tasks and "CANCELLED" in tasks, "both tasks are listed")
        self._check(WORKER_ID in self._perform("list-workers", shows="all").output, "so is the worker")

    def _look_at_metrics(self) -> None:
        click.echo(f"  {self._http}/metrics says, among much else:")
        lines = [line for line in self._get("/metrics").splitlines() if line.startswith(METRICS)]
        quote("\n".join(lines))
        self._check('taskrun_tasks_total{status="completed"} 1.0' in lines, "one task is completed")
        self._check('taskrun_tasks_total{status="cancelled"} 1.0' in lines, "one task is cancelled")
        self._check('taskrun_workers_connected{status="idle"} 1.0' in lines, "one worker is idle")

    def _stop(self) -> None:
        """The worker, then the control plane; the model is no part of what is shown."""
        for child in reversed([child for child in self._children if child.name != MODEL]):
            prompt(f"kill {child.pid}  # the {child.name}")
            self._check(child.stop() == OK, f"the {child.name} ended with exit code 0")

    def _check(self, happened: object, sentence: str) -> None:
        check(happened, sentence)
        self._happened.append(sentence)

    def _perform(self, *words: str, watch: Callable[[str], None] | None = None, shows: str = "") -> Performed:
        return perform(*words, environ=self._environ, cwd=self._directory, watch=watch, shows=shows)

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self._http + path, timeout=PATIENCE) as answer:  # noqa: S310  # our own, on loopback
            text: str = answer.read().decode()
        return text


def _object(text: str) -> dict[str, Any]:
    """The JSON object that the text is; an empty one if it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _sleepers(nap: str) -> list[str]:
    """The processes that sleep for this long."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if words[:1] == [b"sleep"] and nap.encode() in words:
            found.append(entry.name)
    return found


def _falls_asleep(nap: str) -> bool:
    """Waits until there is such a process; false if there is none in time."""
    end = time.monotonic() + PATIENCE
    while not _sleepers(nap) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(_sleepers(nap))
