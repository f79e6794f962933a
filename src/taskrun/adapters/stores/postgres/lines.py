"""The lines of the queue: each requirement has one, and a name for it that fits into an index."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from taskrun.adapters.stores.rows import selector_json
from taskrun.domain.records import Requirement


@lru_cache(maxsize=10_000)
def line_of(requirement: Requirement) -> UUID:
    """The requirement's line: a digest, because a selector may be longer than what an index takes."""
    text = f"{requirement.agent} {selector_json(requirement.selector)}"
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())
