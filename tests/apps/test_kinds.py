from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskrun.apps.kinds import (
    ADDRESS,
    DELAY,
    DURATION,
    HOSTS,
    LABELS,
    PATH,
    SIZE,
    STORE,
    SWITCH,
    TEXT,
    HostPort,
    StorePlace,
    ValueKind,
    duration,
    one_of,
    whole_number,
)
from taskrun.domain.errors import InvalidArgument

NUMBER = whole_number(1, 10)
COLOUR = one_of("red", "green")


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (TEXT, "x", "x"),
        (PATH, "certs/ca.crt", Path("certs/ca.crt")),
        (PATH, "~/certs", Path.home() / "certs"),
        (SWITCH, True, True),
        (SWITCH, "on", True),
        (SWITCH, "False", False),
        (ADDRESS, "[::1]:50051", HostPort("::1", 50051)),
        (ADDRESS, "plane.example.org:0", HostPort("plane.example.org", 0)),
        (ADDRESS, "[fe80::1%eth0]:1", HostPort("fe80::1%eth0", 1)),
        (DURATION, "10s", 10.0),
        (DURATION, "10", 10.0),
        (DURATION, 10, 10.0),
        (DURATION, 0.25, 0.25),
        (DURATION, "250ms", 0.25),
        (DURATION, "5 m", 300.0),
        (DURATION, "1.5h", 5400.0),
        (DURATION, "7d", 604800.0),
        (DELAY, "0", 0.0),
        (LABELS, ("gpu=yes", "zone="), {"gpu": "yes", "zone": ""}),
        (LABELS, "gpu=yes, zone=a=b", {"gpu": "yes", "zone": "a=b"}),
        (LABELS, {"gpu": "yes"}, {"gpu": "yes"}),
        (STORE, "memory", StorePlace("memory")),
        (STORE, "sqlite", StorePlace("sqlite")),
        (STORE, "sqlite:/a:b.db", StorePlace("sqlite", Path("/a:b.db"))),
        (STORE, "postgresql://a@b/c", StorePlace("postgresql", url="postgresql://a@b/c")),
        (STORE, "postgres://", StorePlace("postgresql", url="postgres://")),
        (SIZE, "500MiB", 500 * 2**20),
        (SIZE, "1.5 kB", 1500),
        (SIZE, 0, 0),
        (SIZE, "7", 7),
        (HOSTS, ["a", "b"], ("a", "b")),
        (HOSTS, "a,plane.example.org", ("a", "plane.example.org")),
        (HOSTS, ("192.0.2.7", "2001:db8::7"), ("192.0.2.7", "2001:db8::7")),
        (NUMBER, "10", 10),
        (NUMBER, 1, 1),
        (COLOUR, "GREEN", "green"),
    ],
)
def test_a_value_is_read_from_a_flag_a_variable_or_a_file(kind: ValueKind, raw: Any, value: Any) -> None:
    assert kind.read(raw) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (TEXT, ""),
        (TEXT, 1),
        (PATH, 1),
        (SWITCH, "perhaps"),
        (SWITCH, 1),
        (ADDRESS, "::1:50051"),
        (ADDRESS, "localhost"),
        (ADDRESS, "localhost:65536"),
        (ADDRESS, "https://localhost:1"),
        (ADDRESS, 50051),
        (DURATION, "0s"),
        (DURATION, "-1"),
        (DURATION, -1),
        (DURATION, "soon"),
        (DURATION, True),
        (DURATION, float("nan")),
        (DURATION, float("inf")),
        (DELAY, "5 years"),
        (LABELS, ("gpu",)),
        (LABELS, ("=yes",)),
        (LABELS, ("gpu=yes", "gpu=no")),
        (LABELS, {"gpu": True}),
        (LABELS, {"a" * 64: "x"}),
        (LABELS, ("a=\x1b[2J",)),
        (LABELS, 1),
        (STORE, "memory:x"),
        (STORE, "sqlite:"),
        (STORE, "postgres"),
        (SIZE, "-1"),
        (SIZE, True),
        (SIZE, "much"),
        (HOSTS, 1),
        (HOSTS, [1]),
        (HOSTS, ("a b",)),
        (HOSTS, ("*",)),
        (HOSTS, ("*.example.org",)),
        (HOSTS, ("https://plane",)),
        (HOSTS, ("plane:50052",)),
        (HOSTS, ("[::1]",)),
        (HOSTS, ("1.2.3",)),
        (NUMBER, "0"),
        (NUMBER, 11),
        (NUMBER, 1.5),
        (NUMBER, True),
        (NUMBER, "ten"),
        (COLOUR, "blue"),
    ],
)
def test_what_breaks_the_rule_is_refused(kind: ValueKind, raw: Any) -> None:
    with pytest.raises((ValueError, TypeError, InvalidArgument)):
        kind.read(raw)


@pytest.mark.parametrize("raw", ["inf", "nan", "1e999", "9" * 400, f"{'9' * 400}d", float("inf"), 10**400])
def test_no_duration_is_endless(raw: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whoever asked has the words
        duration(raw)


@pytest.mark.parametrize("text", ["[::1]:50051", "127.0.0.1:0", "plane.example.org:443"])
def test_an_address_is_shown_as_it_is_written(text: str) -> None:
    assert str(ADDRESS.read(text)) == text


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("foo",), "'foo' is no KEY=VALUE: there is no = in it."),
        (("=foo",), "'=foo' is no KEY=VALUE: nothing stands before the =."),
        (("a=1", "b=2", "a=3"), "the key 'a' is given twice: each key has one value."),
    ],
)
def test_a_label_that_is_none_is_told_from_one_that_is_there_already(pairs: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        LABELS.read(pairs)
    assert refusal.value.message == said


def test_the_place_of_a_store_never_shows_a_password() -> None:
    place = STORE.read("postgresql://me:secret@host/tasks")
    assert (str(place), "secret" in repr(place)) == ("postgresql", False)
