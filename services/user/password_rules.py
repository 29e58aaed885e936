"""Which passwords are refused beside those of a wrong length (NIST SP 800-63B, 5.1.1.2).

No rule asks for kinds of characters: such rules make passwords no harder to guess.
"""

from functools import cache
from pathlib import Path

from libs.kernel.problems import ValidationFailed

FREQUENT = Path(__file__).with_name("frequent_passwords.txt")
PRODUCT = "easel"  # what somebody thinks of first here (OWASP ASVS 5.0, 6.1.2)
SHORTEST_NAME = 4  # a shorter name says nothing about a password that holds nothing else


@cache
def frequent_passwords() -> frozenset[str]:
    """The passwords that attackers try first, in lower case."""
    lines = FREQUENT.read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("# "))


def weakness_of(password: str, *, email: str, display_name: str) -> str | None:
    """What is wrong with a password, or None."""
    folded = password.strip().casefold()
    if folded in frequent_passwords():
        return "is one of the passwords that are tried first; choose another"
    own = {email, email.partition("@")[0], display_name, PRODUCT}
    if any(made_of(folded, name.strip().casefold()) for name in own):
        return "must not be the e-mail address, the name or ours"
    return None


def made_of(password: str, name: str) -> bool:
    """Whether a password is a name, once or several times, maybe with digits behind."""
    rest = password.rstrip("0123456789!.")
    return password == name or (
        len(name) >= SHORTEST_NAME and bool(rest) and rest == name * (len(rest) // len(name))
    )


def refuse_weak_password(password: str, *, email: str, display_name: str, field: str) -> None:
    """Raises ValidationFailed (422) naming the field."""
    message = weakness_of(password, email=email, display_name=display_name)
    if message is not None:
        errors = [{"field": field, "message": message}]
        raise ValidationFailed(f"{field}: {message}", errors=errors)
