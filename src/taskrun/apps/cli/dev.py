"""`taskrun dev`: a control plane and a worker to play with."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.children import (
    CONTROL_PLANE,
    SCRIPTED_MODEL,
    WORKER,
    Child,
    ChildFailed,
    Line,
    children,
    model_environ,
    own_name,
    plain_environ,
    provider_is_set,
)
from taskrun.apps.cli.connection import json_command
from taskrun.apps.cli.dev_certificates import certificates
from taskrun.apps.exits import FAILED, OK

_COLOURS = {"control plane": "cyan", "worker": "green", "model": "magenta"}
#: Fields of a log line that are shown in another way, or say nothing here.
_KNOWN = frozenset({"time", "level", "message", "logger", "exception"})


@click.command("dev")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    default=".taskrun-dev",
    show_default=True,
    help="For its certificates, its tasks and `env`.",
)
@click.option("--grpc-addr", metavar="HOST:PORT", default="[::1]:50051", show_default=True)
@click.option("--http-addr", metavar="HOST:PORT", default="[::1]:50052", show_default=True)
@click.option("--config", metavar="FILE.toml", help="The worker's file: its agents and other settings.")
@json_command
def dev(as_json: bool, directory: str, grpc_addr: str, http_addr: str, config: str | None) -> int:
    """Starts a control plane and one worker, and says what to type next. Ctrl-C ends them.

    Certificates and tasks are kept in the directory, and used again the next time; certificates only if they are still
    good. Without ANTHROPIC_API_KEY, a scripted model on this machine answers the agents.
    """
    certs = certificates(Path(directory))
    environ = plain_environ()
    with children() as family:
        try:
            if not provider_is_set():
                model = family.start("model", SCRIPTED_MODEL, environ)
                environ |= model_environ(str(model.wait_for("")["message"]))
            plane = family.start("control plane", _plane(certs, grpc_addr, http_addr), environ, _tell)
            ready = plane.wait_for("ready")
            argv = _worker(certs, f"https://{ready['grpc_addr']}", config)
            worker = family.start("worker", argv, environ, _tell)
            worker.wait_for("connected")
            env = _write_env(Path(directory), certs, ready)
            (_say_in_json if as_json else _say_what_to_type)(env, ready)
            return _watch_over(plane, worker)
        except ChildFailed as error:
            showing.note(error.message, "red")
            return FAILED
        except KeyboardInterrupt:
            click.echo(err=True)
            return OK


def _plane(certs: Path, grpc_addr: str, http_addr: str) -> list[str]:
    places = [f"--certs-dir={certs}", f"--data-dir={certs.parent / 'data'}", "--store=sqlite"]
    return [*CONTROL_PLANE, *places, f"--grpc-addr={grpc_addr}", f"--http-addr={http_addr}"]


def _worker(certs: Path, addr: str, config: str | None) -> list[str]:
    """Its drain is short: whoever plays and presses Ctrl-C does not want to wait."""
    options = [f"--config={config}"] if config else []
    return [*WORKER, f"--certs-dir={certs}", f"--addr={addr}", "--drain-timeout=1", "--stop-grace=3", *options]


def _watch_over(*children: Child) -> int:
    """Returns when one of them has ended, which none should."""
    wait = threading.Event()
    while True:
        for child in children:
            if child.exit_code is not None:
                showing.note(f"The {child.name} has ended with exit code {child.exit_code}.", "red")
                return FAILED
        wait.wait(0.2)


def _tell(name: str, line: Line) -> None:
    """One line of a child's log, for people."""
    fields = "".join(f"  {key}={_shown(value)}" for key, value in line.items() if key not in _KNOWN)
    head = click.style(f"{name:>13} │", fg=_COLOURS[name])
    text = showing.line(f"{line.get('message')}")
    colour = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(str(line.get("level")))
    click.echo(f"{head} {click.style(text, fg=colour)}{click.style(showing.line(fields), dim=True)}", err=True)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _write_env(directory: Path, certs: Path, ready: Mapping[str, Any]) -> Path:
    """A file for a shell to source: what the command line has to know to reach this control plane."""
    variables = {
        "TASKRUN_ADDR": f"https://{ready['grpc_addr']}",
        "TASKRUN_CA_CERT": str(certs / "ca.crt"),
        "TASKRUN_CERT": str(certs / "client.crt"),
        "TASKRUN_KEY": str(certs / "client.key"),
    }
    path = directory / "env"
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    return path


def _say_in_json(env: Path, ready: Mapping[str, Any]) -> None:
    addresses = {"addr": f"https://{ready['grpc_addr']}", "http_addr": f"http://{ready['http_addr']}"}
    showing.as_json_line({**addresses, "env": str(env.absolute()), "scripted_model": not provider_is_set()})


def _say_what_to_type(env: Path, ready: Mapping[str, Any]) -> None:
    program = own_name()
    if not provider_is_set():
        click.secho(
            "\nNo ANTHROPIC_API_KEY is set: a scripted model on this machine answers in a real one's place.",
            fg="yellow",
        )
    click.echo("\nTaskRun is up. In another terminal:\n")
    click.secho(f"  source {shlex.quote(str(env))}", bold=True)
    for command in (
        'create-task --agent support_triage --input "My invoice is wrong: I was charged twice" --watch',
        'create-task --agent general --input "Say hello" --watch',
        "list-tasks",
        "list-workers",
    ):
        click.secho(f"  {program} {command}", bold=True)
    if not provider_is_set():
        click.echo("\nThe scripted model obeys orders: slow output, and a tool call that you can cancel.\n")
        for command in (
            'create-task --agent general --input "[[slow: 0.3]] some words, one after the other" --watch',
            'create-task --agent general --input "[[bash: sleep 60]]"',
            "cancel-task ID",
        ):
            click.secho(f"  {program} {command}", bold=True)
    click.echo(f"\nThe workers page: http://{ready['http_addr']}/ui/workers\nCtrl-C ends it.\n")
