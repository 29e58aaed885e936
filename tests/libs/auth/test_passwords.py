import asyncio

import pytest

from libs.auth.passwords import (
    MAX_WAITING,
    HashingLane,
    hash_password,
    needs_rehash,
    verify_password,
)
from libs.kernel.problems import ServiceUnavailable

WEAK_HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$m1Zi+UMIeqYRxvBBVoN3XZGfkPaGcTYDbcOBNZMN3Vg"


async def test_only_the_right_password_is_right() -> None:
    encoded = await hash_password("correct horse")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await verify_password(encoded, "correct horse")
    assert not await verify_password(encoded, "correct horse ")


async def test_nobody_has_no_password() -> None:
    assert not await verify_password(None, "the password of nobody")
    assert not await verify_password("not a hash", "not a hash")


def test_weaker_parameters_ask_for_a_new_hash() -> None:
    assert needs_rehash(WEAK_HASH)


async def test_a_flood_is_asked_to_come_back_instead_of_filling_the_memory() -> None:
    lane = HashingLane()
    lane.waiting = MAX_WAITING
    with pytest.raises(ServiceUnavailable):
        await lane.run(len, "password")
    lane.waiting -= 1
    assert await lane.run(len, "password") == 8
    assert lane.waiting == MAX_WAITING - 1


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    hashing = asyncio.gather(*(hash_password(str(number)) for number in range(4)))
    ticks = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 4
    assert len(set(await hashing)) == 4
