from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.api_keys import (
    DEFAULT_TTL_MS,
    MAX_TTL_MS,
    ApiKey,
    KeyState,
    compose,
    digest_of,
    new_key,
)
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES, Role

SECRET = bytes(range(32))
TEXT = compose(SECRET)


@given(st.binary(min_size=32, max_size=32))
def test_the_digest_of_a_text_is_that_of_its_secret(secret: bytes) -> None:
    assert digest_of(compose(secret)) == hashlib.sha256(secret).digest()


def test_a_key_is_recognisable_and_safe_in_a_header() -> None:
    assert re.fullmatch(r"taskrunkey1_[A-Za-z0-9_-]{43}", TEXT)


@pytest.mark.parametrize(
    "text",
    ["", "taskrunkey1_", TEXT[:-1], TEXT + "A", TEXT + "\n", " " + TEXT, TEXT.replace("1_", "2_"), TEXT[:-1] + "é"],
)
def test_what_is_no_key_has_no_digest(text: str) -> None:
    assert digest_of(text) is None


def test_one_secret_has_one_text() -> None:
    assert digest_of(f"{TEXT[:-1]}9") is None


@pytest.mark.parametrize("role", CLIENT_ROLES)
def test_a_new_key_keeps_the_digest_alone(role: Role) -> None:
    key = new_key("ci", role, SECRET, now_ms=5, ttl_ms=2_000, created_by="admin")
    assert key == ApiKey("ci", role, hashlib.sha256(SECRET).digest(), 5, 2_005, "admin")


def test_a_key_that_was_given_no_time_is_good_for_ninety_days() -> None:
    assert new_key("ci", Role.READ, SECRET, 5, 0, "").expires_at_ms == 5 + DEFAULT_TTL_MS


@pytest.mark.parametrize(
    ("name", "role", "ttl_ms"),
    [
        ("", Role.READ, 0),
        ("a b", Role.READ, 0),
        ("ci", Role.WORKER, 0),
        ("ci", Role.NOBODY, 0),
        ("ci", Role.READ, 999),
        ("ci", Role.READ, -1),
        ("ci", Role.READ, MAX_TTL_MS + 1),
    ],
)
def test_what_no_key_can_be_is_refused(name: str, role: Role, ttl_ms: int) -> None:
    with pytest.raises(InvalidArgument):
        new_key(name, role, SECRET, 5, ttl_ms, "")


@pytest.mark.parametrize(
    ("revoked_at_ms", "now_ms", "state"),
    [
        (0, 9, KeyState.VALID),
        (0, 10, KeyState.EXPIRED),
        (3, 9, KeyState.REVOKED),
        (3, 10, KeyState.REVOKED),
    ],
)
def test_what_a_key_is_worth(revoked_at_ms: int, now_ms: int, state: KeyState) -> None:
    assert ApiKey("ci", Role.READ, b"", 1, 10, "", revoked_at_ms).state(now_ms) is state
