"""Certificates for people and programs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.values import ROLE, Duration
from taskrun.apps.process import ctrl_c_raises
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import Role, check_client_name


@click.command("create-client")
@click.argument("name")
@click.option("--role", required=True, type=ROLE, help="What NAME may: see, also submit tasks, or do everything.")
@click.option("--dir", "directory", metavar="DIR", default="certs", show_default=True, help="Where ca.key is.")
@click.option("--to", "target", metavar="DIR", help="Where to put the files; clients/NAME, if not said.")
@click.option("--ttl", "ttl_ms", type=Duration(), default="365d", show_default=True, help="How long it is good.")
@client_command
def create_client(
    connection: Connection, name: str, role: str, directory: str, target: str | None, ttl_ms: int
) -> None:
    """Makes a certificate for a person or a program, where the CA's key is. Never overwrites any."""
    from taskrun.adapters.ca import clients
    from taskrun.adapters.ca.identity import parse_peer

    # Before it becomes part of a path, as which two good names have a meaning of their own.
    check_client_name(name)
    if not (target or name.strip(".")):
        raise InvalidArgument("For a client of this name, say where to put the files: --to DIR.")
    to = Path(target) if target else Path("clients") / name
    with ctrl_c_raises():
        made = clients.create_client(Path(directory), to, name, Role(role), timedelta(milliseconds=ttl_ms))
    paths, serial = list(map(str, made)), parse_peer((to / "client.crt").read_bytes()).serial
    if connection.json:
        showing.as_json({"files": paths, "serial": serial})
        return
    for path in paths:
        click.echo(path)
    showing.note(f"Hand {to} over to {name} on a safe way, as its certs/, and delete it here.")
    showing.note(f"To take back all of {name}'s: taskrun revoke-client {name}")
    showing.note(f"To take back this one: taskrun revoke-worker --serial {serial}")
