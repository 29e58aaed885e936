"""Fixtures of real parts for every test; nothing starts before a test asks for it."""

pytest_plugins = [
    "libs.testkit.discord.fixture",
    "libs.testkit.lemon_squeezy.fixture",
    "libs.testkit.openid.fixture",
    "libs.testkit.postgres",
    "libs.testkit.redis",
    "libs.testkit.s3",
    "libs.testkit.tokens",
    "libs.testkit.triton",
]
