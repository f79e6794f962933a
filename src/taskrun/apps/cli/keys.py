"""API keys: for those who use HTTP, which knows no certificates."""

from __future__ import annotations

import time
from collections.abc import Sequence

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import Connection, client_command
from taskrun.apps.cli.values import ROLE, Duration
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.identity import Role


@click.command("create-key")
@click.argument("name")
@click.option("--role", required=True, type=ROLE, help="What NAME may: see, also submit tasks, or do everything.")
@click.option("--ttl", "ttl_ms", type=Duration(), default="90d", show_default=True, help="At most 366d.")
@client_command
def create_key(connection: Connection, name: str, role: str, ttl_ms: int) -> None:
    """Makes an API key for HTTP, and prints it. It cannot be shown again."""
    with connection.open() as client:
        made = client.create_key(name, Role(role), ttl_ms)
    if connection.json:
        showing.as_json({"key": made.text, **_form(made.key)})
        return
    click.echo(made.text)
    showing.note(f"It is {name}'s, for HTTP, until {showing.local_time(made.key.expires_at_ms)}:")
    showing.note('curl -H "Authorization: Bearer $KEY" ..., or as the password when a browser asks.')


@click.command("list-keys")
@client_command
def list_keys(connection: Connection) -> None:
    """Lists the API keys: those that are good, and those that ended in the last 30 days."""
    with connection.open() as client:
        keys = client.keys()
    if connection.json:
        showing.as_json({"keys": [_form(key) for key in keys]})
    else:
        showing.table(("NAME", "ROLE", "STATE", "EXPIRES", "CREATED", "BY"), [_row(key) for key in keys])


@click.command("revoke-key")
@click.argument("name")
@client_command
def revoke_key(connection: Connection, name: str) -> None:
    """Makes an API key worthless, at once and for good."""
    with connection.open() as client:
        key = client.revoke_key(name)
    if connection.json:
        showing.as_json(_form(key))
    else:
        showing.note(f"The key {key.name} opens nothing any more.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _form(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "role": key.role.value,
        "state": key.state(_now_ms()).value,
        "created_at_ms": key.created_at_ms,
        "expires_at_ms": key.expires_at_ms,
        "created_by": key.created_by,
        "revoked_at_ms": key.revoked_at_ms,
    }


def _row(key: ApiKey) -> Sequence[str]:
    return (
        key.name,
        key.role.value,
        key.state(_now_ms()).value,
        showing.local_time(key.expires_at_ms),
        showing.local_time(key.created_at_ms),
        key.created_by or "-",
    )
