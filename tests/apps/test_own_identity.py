"""A worker's certificate is renewed: what is believed of the answer, and what is in the files afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.system.clock import SystemClock
from taskrun.apps.own_identity import OwnIdentity
from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import FailedPrecondition, ProtocolViolation, TaskRunError, Unavailable

DAY_MS = 86_400_000


class Scene:
    """The worker `local` of `taskrun init`, and the CA that answers it."""

    def __init__(self, certs: Path) -> None:
        init_certs(certs)
        self.certs = certs
        self.authority = FileAuthority(certs / "ca.crt", certs / "ca.key", SystemClock(), lifetime=timedelta(days=1))
        self.sign: Callable[[bytes], bytes] = lambda csr: self.authority.sign_worker(csr, "local").certificate_pem
        self.shown: list[ClientTls] = []
        self.identity = self.make()

    def make(self) -> OwnIdentity:
        certs = self.certs
        return OwnIdentity(certs / "worker.crt", certs / "worker.key", certs / "ca.crt", self._ask)

    async def _ask(self, tls: ClientTls, csr_pem: bytes) -> bytes:
        self.shown.append(tls)
        return self.sign(csr_pem)

    def files(self) -> tuple[bytes, ...]:
        return tuple((self.certs / name).read_bytes() for name in ("ca.crt", "worker.crt", "worker.key"))

    def names(self) -> set[str]:
        return {path.name for path in self.certs.iterdir()}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "certs")


async def test_a_renewed_identity_has_another_key_and_is_in_the_files(scene: Scene) -> None:
    before, names = scene.identity.tls(), scene.names()
    assert scene.identity.life().ends_ms - scene.identity.life().begins_ms == 365 * DAY_MS
    life = await scene.identity.renew()
    assert life == scene.identity.life() == Life(life.ends_ms - DAY_MS, life.ends_ms)
    after = scene.identity.tls()
    assert after.key_pem != before.key_pem
    assert scene.files() == (after.ca_pem, after.cert_pem, after.key_pem)
    assert scene.make().tls() == after
    assert scene.names() == names
    await scene.identity.renew()
    assert scene.shown == [before, after]


def of_another_ca(scene: Scene) -> None:
    other = scene.certs.parent / "other"
    init_certs(other)
    evil = FileAuthority(other / "ca.crt", other / "ca.key", SystemClock())
    scene.sign = lambda csr: evil.sign_worker(csr, "local").certificate_pem


def of_another_worker(scene: Scene) -> None:
    scene.sign = lambda csr: scene.authority.sign_worker(csr, "other").certificate_pem


def for_another_key(scene: Scene) -> None:
    scene.sign = lambda csr: scene.authority.sign_worker(new_key_and_csr()[1], "local").certificate_pem


def nonsense(scene: Scene) -> None:
    scene.sign = lambda csr: b"nonsense"


def nobody(scene: Scene) -> None:
    def fail(csr: bytes) -> bytes:
        raise Unavailable("Nobody there.")

    scene.sign = fail


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (of_another_ca, ProtocolViolation),
        (of_another_worker, ProtocolViolation),
        (for_another_key, ProtocolViolation),
        (nonsense, ProtocolViolation),
        (nobody, Unavailable),
    ],
)
async def test_what_is_no_certificate_of_ours_changes_nothing(
    scene: Scene, wrong: Callable[[Scene], None], error: type[TaskRunError]
) -> None:
    before, files, names = scene.identity.tls(), scene.files(), scene.names()
    wrong(scene)
    with pytest.raises(error):
        await scene.identity.renew()
    assert (scene.identity.tls(), scene.files(), scene.names()) == (before, files, names)


async def test_a_file_of_several_cas_does_not_say_which_is_to_be_believed(scene: Scene) -> None:
    ca = (scene.certs / "ca.crt").read_bytes()
    assert x509.load_pem_x509_certificates(ca + ca)
    (scene.certs / "ca.crt").write_bytes(ca + ca)
    with pytest.raises(FailedPrecondition, match="must hold one certificate"):
        await scene.make().renew()
