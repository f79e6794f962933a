from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain import tokens
from taskrun.domain.errors import InvalidArgument

SECRET = bytes(range(32))
PIN = "0123456789abcdef" * 4
TEXT = tokens.compose(SECRET, PIN)


@given(secret=st.binary(min_size=32, max_size=32), pin=st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_splitting_undoes_composing(secret: bytes, pin: str) -> None:
    assert tokens.split(tokens.compose(secret, pin)) == (secret, pin)


def test_a_token_is_recognisable_and_safe_in_a_shell_and_a_url() -> None:
    assert re.fullmatch(r"taskrun1_[A-Za-z0-9_.-]+", TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "taskrun1_",
        TEXT[:-1],
        TEXT + "0",
        TEXT + "\n",
        " " + TEXT,
        TEXT.replace("taskrun1_", "taskrun2_"),
        TEXT.replace(".", ""),
        TEXT[:-1] + "F",
        TEXT.replace("taskrun1_A", "taskrun1_é"),
        TEXT.replace("taskrun1_A", "taskrun1_="),
    ],
)
def test_a_malformed_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        tokens.split(text)


def test_one_secret_has_one_text() -> None:
    secret, pin = TEXT.split(".")
    with pytest.raises(InvalidArgument):
        tokens.split(f"{secret[:-1]}9.{pin}")


def test_the_refusal_does_not_quote_the_token() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        tokens.split(TEXT + "x")
    assert TEXT[9:30] not in refusal.value.message


@pytest.mark.parametrize(
    ("secret", "pin"), [(b"", PIN), (SECRET[1:], PIN), (SECRET + b"x", PIN), (SECRET, PIN[1:]), (SECRET, PIN.upper())]
)
def test_a_secret_or_pin_of_the_wrong_shape_makes_no_token(secret: bytes, pin: str) -> None:
    with pytest.raises(InvalidArgument):
        tokens.compose(secret, pin)


def test_the_digest_is_the_sha256_of_the_secret() -> None:
    assert tokens.digest(SECRET) == hashlib.sha256(SECRET).digest()
