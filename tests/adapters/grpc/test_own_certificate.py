from __future__ import annotations

from datetime import timedelta

import pytest

from taskrun.adapters.grpc.own_certificate import certificate_fault, own_name
from taskrun.domain.errors import InvalidArgument, Unauthenticated, Unavailable
from tests.adapters.grpc.certificates import MiniCa


def test_a_good_certificate_has_no_fault(ca: MiniCa) -> None:
    assert certificate_fault(ca.worker().cert_pem) is None


def test_an_expired_certificate_says_since_when(ca: MiniCa) -> None:
    fault = certificate_fault(ca.worker(lasts=timedelta(minutes=-1)).cert_pem)
    assert isinstance(fault, Unauthenticated)
    assert fault.message.startswith("The certificate expired on 20")


def test_a_certificate_of_the_future_says_what_time_it_is_here(ca: MiniCa) -> None:
    fault = certificate_fault(ca.worker(age=timedelta(minutes=-10)).cert_pem)
    assert isinstance(fault, Unavailable)
    assert "and here it is 20" in fault.message


def test_what_is_no_certificate_is_said_to_be_none() -> None:
    assert isinstance(certificate_fault(b"garbage"), Unauthenticated)
    with pytest.raises(InvalidArgument):
        own_name(b"garbage")


def test_the_name_is_without_its_role(ca: MiniCa) -> None:
    assert own_name(ca.worker("w-7").cert_pem) == "w-7"
