"""JSON that parsers take and nothing behind them can use: it is refused before it is parsed."""

import re

from libs.kernel.problems import BadRequest

MAX_DEPTH = 32
# A string without an end is taken to the end, and none is tried twice (`*+`): linear in any text.
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
ONE_KIND = bytes.maketrans(b"{}", b"[]")
# half of a surrogate pair without its other half: no text that can be stored or sent
LONE_SURROGATE = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F])"
)


def require_sound(body: bytes) -> None:
    """Raises BadRequest for what is no UTF-8, for half characters, and for deep nesting.

    Whatever else is wrong is told by the parser. Every step runs in C: a body of the largest size
    takes a few milliseconds.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise BadRequest("The body is no UTF-8") from None
    if b"\\u" in body and LONE_SURROGATE.search(body.replace(b"\\\\", b"__")):
        raise BadRequest("The body holds half of a surrogate pair")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_deep(body):
        raise BadRequest(f"The body is no JSON of at most {MAX_DEPTH} levels")


def is_deep(body: bytes) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`, or do not match.

    Each round takes the innermost pairs out, so that flat text is empty in time.
    """
    brackets = STRINGS.sub(b"", body).translate(ONE_KIND, NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return brackets != b""
