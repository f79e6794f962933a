"""API keys between the wire and the domain. A secret's digest stays where it is."""

from __future__ import annotations

from taskrun.adapters.grpc import words
from taskrun.domain.api_keys import ApiKey
from taskrun.ports.api_keys import NewApiKey
from taskrun.v1 import key_service_pb2 as pb


def encode_key(key: ApiKey) -> pb.ApiKey:
    """A key without its digest."""
    return pb.ApiKey(
        name=key.name,
        role=words.CLIENT_ROLE_NUMBERS[key.role],
        created_at_ms=key.created_at_ms,
        expires_at_ms=key.expires_at_ms,
        created_by=key.created_by,
        revoked_at_ms=key.revoked_at_ms,
    )


def decode_key(message: pb.ApiKey) -> ApiKey:
    """A key as others are told of it: its digest is empty. Raises `InvalidArgument` for an unknown role."""
    return ApiKey(
        message.name,
        words.CLIENT_ROLES[message.role],
        b"",
        message.created_at_ms,
        message.expires_at_ms,
        message.created_by,
        message.revoked_at_ms,
    )


def encode_new_key(made: NewApiKey) -> pb.CreateKeyResponse:
    """A key just made."""
    return pb.CreateKeyResponse(text=made.text, key=encode_key(made.key))


def decode_new_key(message: pb.CreateKeyResponse) -> NewApiKey:
    """A key just made."""
    return NewApiKey(message.text, decode_key(message.key))
