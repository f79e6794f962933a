"""The lines of the queue: each requirement has one, and a name for it that fits into an index."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from taskrun.adapters.stores.rows import pairs_json
from taskrun.domain.records import Requirement


@lru_cache(maxsize=10_000)
def line_of(requirement: Requirement) -> UUID:
    """The requirement's line: a digest, because a selector may be longer than what an index takes."""
    text = f"{requirement.agent} {pairs_json(requirement.selector)}"
    if requirement.share:
        # Lines of before shares were keep their names.
        text += f" {pairs_json(requirement.share)}"
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())
