from __future__ import annotations

import pytest

from taskrun.apps.advertising import Advertised
from taskrun.apps.kinds import HostPort


def advertised(host: str, named: str = "", http: str = "::1", tls: bool = False) -> Advertised:
    return Advertised(named, HostPort(host, 50051), HostPort(http, 50052), tls)


@pytest.mark.parametrize(
    ("own", "asked", "told"),
    [
        ("::1", "localhost", "https://[::1]:50051"),
        ("127.0.0.1", "::1", "https://127.0.0.1:50051"),
        ("localhost", "plane.example.org", "https://localhost:50051"),
        ("::", "plane.example.org", "https://plane.example.org:50051"),
        ("0.0.0.0", "192.0.2.7", "https://192.0.2.7:50051"),
        ("0.0.0.0", "::1", "https://localhost:50051"),
        ("192.0.2.7", "plane.example.org", "https://plane.example.org:50051"),
        ("192.0.2.7", "127.0.0.1", "https://192.0.2.7:50051"),
        ("plane.example.org", "localhost", "https://plane.example.org:50051"),
        ("::", "2001:db8::7", "https://[2001:db8::7]:50051"),
    ],
)
def test_a_worker_is_told_an_address_that_leads_here(own: str, asked: str, told: str) -> None:
    assert advertised(own).grpc_addr(asked) == told


def test_the_named_address_is_told_to_everybody() -> None:
    assert advertised("::", named="https://plane:1").grpc_addr("localhost") == "https://plane:1"


@pytest.mark.parametrize(
    ("http", "tls", "url"), [("::1", False, "http://[::1]:50052"), ("0.0.0.0", True, "https://0.0.0.0:50052")]
)
def test_workers_enrol_where_http_listens(http: str, tls: bool, url: str) -> None:
    assert advertised("::1", http=http, tls=tls).enroll_url() == url
