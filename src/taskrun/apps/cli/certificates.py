"""Certificates: those of a new control plane, and those that it has issued since."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from taskrun.adapters.grpc.client import Client
from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.json_form import certificate_form
from taskrun.apps.process import ctrl_c_raises
from taskrun.domain.certificates.certificate import Certificate, normal_serial
from taskrun.domain.errors import NotFound


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


@click.command("certs")
@click.option("--worker-id", metavar="ID", default="", help="Only this worker's.")
@click.option("--client", "name", metavar="NAME", default="", help="Only this client's.")
@client_command
def certs(connection: Connection, worker_id: str, name: str) -> None:
    """Lists the certificates that were issued for tokens or renewed, made beside the CA, or with which somebody called.

    The newest come first. They are listed up to a month after their end.
    """
    if worker_id and name:
        raise click.UsageError("Give --worker-id or --client, not both.")
    owner = f"worker:{worker_id}" if worker_id else f"client:{name}" if name else ""
    with connection.open() as client:
        found = client.certificates(owner)
    _show(connection, found)


@click.command("revoke-worker")
@click.argument("worker_id", metavar="[ID]", default="")
@click.option("--serial", metavar="HEX", default="", help="Not a worker, but this one certificate, as certs lists it.")
@client_command
def revoke_worker(connection: Connection, worker_id: str, serial: str) -> None:
    """Makes all certificates worthless that a worker was given so far, for good.

    Within 5 seconds its streams are cut, and its runs go to others. A new token lets it in again.
    """
    if bool(worker_id) == bool(serial):
        raise click.UsageError("Give the id of a worker, or --serial and a certificate's number.")
    with connection.open() as client:
        if serial:
            _show_revoked(connection, client, client.revoke_serial(serial), serial=serial)
        else:
            _show_revoked(connection, client, client.revoke_worker(worker_id), f"worker:{worker_id}")


@click.command("revoke-client")
@click.argument("name")
@client_command
def revoke_client(connection: Connection, name: str) -> None:
    """Makes all certificates worthless that a client was given so far, for good.

    Within 5 seconds what it watches ends, and it is refused. A certificate that is made for it afterwards is good.
    """
    with connection.open() as client:
        _show_revoked(connection, client, client.revoke_client(name), f"client:{name}")


def _show_revoked(
    connection: Connection, client: Client, revoked: Sequence[Certificate], owner: str = "", serial: str = ""
) -> None:
    """What was revoked now of this owner's, or of this serial number.

    Raises `NotFound` if none such is listed at all: who has mistyped what has to be revoked must not believe it is.
    """
    if not revoked and not _is_listed(client, owner, normal_serial(serial)):
        what = f"certificate of {owner}" if owner else f"certificate {serial}"
        rest = "If there is one all the same, or a token for one, it is worth nothing from now on."
        raise NotFound(f"No {what} is listed: is that what was meant? {rest}")
    _show(connection, revoked)
    if not revoked and not connection.json:
        showing.note("There was nothing left to revoke.")


def _is_listed(client: Client, owner: str, serial: str) -> bool:
    return any(serial in {"", each.serial} for each in client.certificates(owner))


def _show(connection: Connection, certificates: Sequence[Certificate]) -> None:
    now_ms = time.time_ns() // 1_000_000
    if connection.json:
        showing.as_json({"certificates": [certificate_form(each, now_ms) for each in certificates]})
    else:
        headers = ("SERIAL", "OWNER", "STATE", "AGE", "ENDS", "REVOKED")
        showing.table(headers, [_row(each, now_ms) for each in certificates])


def _row(certificate: Certificate, now_ms: int) -> Sequence[str]:
    return (
        certificate.serial,
        certificate.owner,
        certificate.state(now_ms).value,
        showing.age(certificate.issued_at_ms),
        showing.local_time(certificate.not_after_ms),
        showing.local_time(certificate.revoked_at_ms) if certificate.revoked_at_ms else "-",
    )
