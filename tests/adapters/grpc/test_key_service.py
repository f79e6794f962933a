"""API keys over the wire: who asks is who made them, and a digest never leaves."""

from __future__ import annotations

import grpc
import pytest

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.domain.errors import InvalidArgument, NotFound
from taskrun.domain.identity import CLIENT_ROLES, Role
from taskrun.v1 import key_service_pb2 as pb
from tests.adapters.grpc.conftest import Plane


@pytest.mark.parametrize("role", CLIENT_ROLES)
async def test_a_key_is_made_for_who_asks_and_comes_without_its_digest(plane: Plane, role: Role) -> None:
    async with plane.client(plane.ca.client("client:ann")) as client:
        made = await client.create_key("ci", role, 5_000)
    assert made.text == "the text"
    assert (made.key.name, made.key.role, made.key.created_by) == ("ci", role, "ann")
    assert (made.key.created_at_ms, made.key.expires_at_ms, made.key.digest) == (1, 5_001, b"")


async def test_keys_are_listed(plane: Plane) -> None:
    async with plane.client() as client:
        made = [(await client.create_key(name, Role.READ)).key for name in ("a", "b")]
        assert await client.keys() == made


async def test_a_revoked_key_says_when(plane: Plane) -> None:
    async with plane.client() as client:
        await client.create_key("ci", Role.READ)
        assert (await client.revoke_key("ci")).revoked_at_ms == 7


async def test_who_made_or_revoked_a_key_or_made_a_token_is_in_the_log(plane: Plane, lines: list[str]) -> None:
    async with plane.client(plane.ca.client("client:ann")) as client:
        await client.create_key("ci", Role.READ)
        await client.revoke_key("ci")
        await client.create_token("w-5")
    assert lines == [
        "INFO {'name': 'ci', 'role': 'read', 'by': 'client:ann'} API key created\n",
        "WARNING {'name': 'ci', 'by': 'client:ann'} API key revoked\n",
        "INFO {'worker_id': 'w-5', 'by': 'client:ann'} bootstrap token created\n",
    ]


async def test_refusals_keep_their_kind(plane: Plane) -> None:
    async with plane.client() as client:
        with pytest.raises(NotFound):
            await client.revoke_key("none")
        with pytest.raises(InvalidArgument):
            await client.create_key("ci", Role.READ, -1)


async def test_a_key_needs_a_role(plane: Plane) -> None:
    request = pb.CreateKeyRequest(name="ci").SerializeToString()
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/taskrun.v1.KeyService/CreateKey")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(request, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not plane.keys.made
