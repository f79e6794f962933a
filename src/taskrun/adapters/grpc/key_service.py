"""Serves `taskrun.v1.KeyService`."""

from __future__ import annotations

from loguru import logger

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.access import Context, Handler, caller
from taskrun.adapters.grpc.codec_keys import encode_key, encode_new_key
from taskrun.adapters.grpc.handlers import unary
from taskrun.ports.api_keys import ApiKeys
from taskrun.v1 import key_service_pb2 as pb


class KeyService:
    """What admins call about API keys."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def handlers(self) -> dict[str, Handler]:
        """The service's methods by name."""
        return {
            "CreateKey": unary(pb.CreateKeyRequest, self._create),
            "ListKeys": unary(pb.ListKeysRequest, self._list),
            "RevokeKey": unary(pb.RevokeKeyRequest, self._revoke),
        }

    async def _create(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        role = words.CLIENT_ROLES[request.role]
        made = await self._keys.create(request.name, role, request.ttl_ms, caller().name)
        logger.info("API key created", name=request.name, role=role.value, by=caller().owner)
        return encode_new_key(made)

    async def _list(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        return pb.ListKeysResponse(keys=map(encode_key, await self._keys.list()))

    async def _revoke(self, request: pb.RevokeKeyRequest, context: Context) -> pb.ApiKey:
        revoked = await self._keys.revoke(request.name)
        logger.warning("API key revoked", name=revoked.name, by=caller().owner)
        return encode_key(revoked)
