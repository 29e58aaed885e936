from libs.auth.passwords import hash_password, needs_rehash, verify_password

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
