"""The certificates of a new control plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.process import ctrl_c_raises


@click.command("init")
@click.option("--dir", "directory", metavar="DIR", default="certs", show_default=True, help="Where to put them.")
@click.option(
    "--host", "hosts", metavar="NAME", multiple=True, help="A name or address of the control plane; repeatable."
)
@client_command
def init(connection: Connection, directory: str, hosts: Sequence[str]) -> None:
    """Makes a CA, and certificates for the control plane, one worker and one client. Never overwrites any."""
    from taskrun.adapters.ca.files import init_certs

    # It takes back what it has written when it is interrupted.
    with ctrl_c_raises():
        paths = [str(path) for path in init_certs(Path(directory), hosts)]
    if connection.json:
        showing.as_json({"files": paths})
        return
    for path in paths:
        click.echo(path)
    showing.note(f"Keep {directory}/ca.key safe: whoever has it can be anybody. Next: taskrun-control-plane")
