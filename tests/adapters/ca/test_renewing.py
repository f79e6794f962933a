"""A renewal with a real CA: what a worker sends to be renewed is looked at as what a stranger sends."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.certificates.certificate import CertificateQuery
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import Identity, Role
from taskrun.engine.certificates import Certificates
from taskrun.testing.contracts.authority import BAD_REQUESTS, VAIN_REQUESTS

PEER = Identity(Role.WORKER, "w-1", 2**50, "a1")


@pytest.fixture
def certificates(certs: Path) -> Certificates:
    async def learn() -> None:
        """Nobody else is there."""

    clock = SystemClock()
    return Certificates(
        FileAuthority(certs / "ca.crt", certs / "ca.key", clock), MemoryCertificateStore(), clock, learn
    )


@pytest.mark.parametrize("fault", BAD_REQUESTS)
async def test_a_bad_request_renews_nothing(certificates: Certificates, fault: str) -> None:
    with pytest.raises(InvalidArgument):
        await certificates.renew(PEER, BAD_REQUESTS[fault]())
    assert (await certificates.find(CertificateQuery())).certificates == ()


@pytest.mark.parametrize("wish", VAIN_REQUESTS)
async def test_whatever_is_asked_for_the_caller_gets_his_own_name_and_use(
    certificates: Certificates, wish: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    renewed = x509.load_pem_x509_certificate(await certificates.renew(PEER, VAIN_REQUESTS[wish](key)))
    assert [(part.oid, part.value) for part in renewed.subject] == [(NameOID.COMMON_NAME, "worker:w-1")]
    assert renewed.public_key() == key.public_key()
    assert not [part for part in renewed.extensions if isinstance(part.value, x509.SubjectAlternativeName)]
    usage = renewed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [use.dotted_string for use in usage] == [ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string]
