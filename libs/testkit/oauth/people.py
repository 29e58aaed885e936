"""Who has an account at a double: three known people, and whoever a page names."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """An account at the provider. `verified`: the provider has checked the e-mail address."""

    email: str
    name: str
    verified: bool = True

    @property
    def number(self) -> int:
        """The same for an e-mail address at every start; 60 bits, as long as a snowflake."""
        return int.from_bytes(hashlib.sha256(self.email.lower().encode()).digest()[:8]) >> 4


PEOPLE = (
    Person("ada@easel.example", "Ada Local"),
    Person("demo@easel.example", "Demo"),
    Person("mallory@easel.example", "Mallory Unverified", verified=False),
)
