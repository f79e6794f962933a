from __future__ import annotations

import pytest

from taskrun.adapters.stores.memory_api_keys import MemoryApiKeyStore
from taskrun.domain.api_keys import KeyState, compose
from taskrun.domain.errors import AlreadyExists, InvalidArgument, NotFound, Unauthenticated
from taskrun.domain.identity import Role
from taskrun.engine.key_ring import KeyRing
from taskrun.testing.clock import JumpingClock


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def ring(clock: JumpingClock) -> KeyRing:
    return KeyRing(MemoryApiKeyStore(), clock)


async def test_a_new_key_opens_what_it_was_made_for(ring: KeyRing) -> None:
    made = await ring.create("ci", Role.SUBMIT, 0, "admin")
    assert await ring.authenticate(made.text) == made.key
    assert (made.key.name, made.key.role, made.key.created_by) == ("ci", Role.SUBMIT, "admin")
    assert list(await ring.list()) == [made.key]


async def test_each_key_has_a_secret_of_its_own(ring: KeyRing) -> None:
    one, other = [await ring.create(name, Role.READ, 0, "admin") for name in ("a", "b")]
    assert one.text != other.text
    assert (await ring.authenticate(other.text)).name == "b"


@pytest.mark.parametrize("text", ["", "nonsense", compose(b"x" * 32), "taskrunkey1_" + "A" * 42])
async def test_what_is_no_key_of_ours_opens_nothing(ring: KeyRing, text: str) -> None:
    await ring.create("ci", Role.READ, 0, "admin")
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await ring.authenticate(text)


async def test_a_revoked_key_opens_nothing(ring: KeyRing, clock: JumpingClock) -> None:
    made = await ring.create("ci", Role.READ, 0, "admin")
    revoked = await ring.revoke("ci")
    assert revoked.state(clock.now().utc_ms) is KeyState.REVOKED
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await ring.authenticate(made.text)


async def test_a_key_opens_nothing_from_its_end_on(ring: KeyRing, clock: JumpingClock) -> None:
    made = await ring.create("ci", Role.READ, 2_000, "admin")
    await clock.advance(1.999)
    await ring.authenticate(made.text)
    await clock.advance(0.001)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await ring.authenticate(made.text)


async def test_a_name_is_taken_while_its_key_is_good(ring: KeyRing) -> None:
    await ring.create("ci", Role.READ, 0, "admin")
    with pytest.raises(AlreadyExists, match="ci is still good"):
        await ring.create("ci", Role.ADMIN, 0, "admin")
    await ring.revoke("ci")
    assert (await ring.create("ci", Role.ADMIN, 0, "admin")).key.role is Role.ADMIN


async def test_a_key_that_cannot_be_is_not_kept(ring: KeyRing) -> None:
    with pytest.raises(InvalidArgument):
        await ring.create("ci", Role.WORKER, 0, "admin")
    assert list(await ring.list()) == []


async def test_what_is_not_there_cannot_be_revoked(ring: KeyRing) -> None:
    with pytest.raises(NotFound):
        await ring.revoke("ci")
    for no_name in ("", "c\0i", "c" * 1000):
        with pytest.raises(InvalidArgument):
            await ring.revoke(no_name)
