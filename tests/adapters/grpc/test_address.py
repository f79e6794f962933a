from __future__ import annotations

import pytest

from taskrun.adapters.grpc.address import Address, parse_address
from taskrun.adapters.grpc.options import channel_options
from taskrun.domain.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://[::1]:50051", "::1", 50051),
        ("https://[::1]:50051/", "::1", 50051),
        ("[::1]:1", "::1", 1),
        ("localhost:0", "localhost", 0),
        ("https://control.example.com", "control.example.com", 50051),
        ("10.0.0.1:443", "10.0.0.1", 443),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


def test_an_address_is_shown_as_it_is_typed() -> None:
    address = parse_address("[::1]:50051")
    assert (str(address), address.target) == ("https://[::1]:50051", "[::1]:50051")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":50051",
        "::1:50051",
        "::1",
        "host:port",
        "host:70000",
        "ftp://host",
        "https://host/path",
        "a@host",
        "host?x",
        "[::1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no address: write https://host:port"):
        parse_address(text)


def test_an_address_without_tls_is_refused_with_the_one_to_write() -> None:
    with pytest.raises(InvalidArgument, match=r"there is none: write https://\[::1\]:50051"):
        parse_address("http://[::1]:50051")


def test_a_proxy_is_never_asked_for_the_way_to_this_machine() -> None:
    no_proxy = ("grpc.enable_http_proxy", 0)
    assert all(no_proxy in channel_options(parse_address(here)) for here in ("[::1]:1", "127.0.0.1:1", "localhost:1"))
    assert no_proxy not in channel_options(parse_address("control.example.com:1"))
