"""Messages: what is queued becomes headers and bodies, and never more headers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.mail.failures import Undeliverable
from libs.mail.message import Email, build_message

SENDER = "Easel <mail@easel.example>"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADERS = {"from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version"}
CONTENT = {"content-type", "content-transfer-encoding"}


def email(**given: str) -> Email:
    usual = {"key": "receipt:1", "recipient": "ada@easel.example", "subject": "Your receipt"}
    return Email(**{**usual, "text": "Thank you.\n", **given})


def build(**given: str) -> bytes:
    return build_message(email(**given), sender=SENDER, date=NOON).as_bytes()


def test_the_headers_are_those_of_a_letter() -> None:
    message = build_message(email(), sender=SENDER, date=NOON)
    assert message["From"] == "Easel <mail@easel.example>"
    assert message["To"] == "ada@easel.example"
    assert message["Subject"] == "Your receipt"
    assert message["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert {name.lower() for name in message.keys()} == HEADERS | CONTENT
    assert message.get_content() == "Thank you.\n"


def test_the_message_id_is_the_keys_own() -> None:
    first = build_message(email(), sender=SENDER, date=NOON)["Message-ID"]
    again = build_message(email(text="Later"), sender=SENDER, date=NOON)["Message-ID"]
    other = build_message(email(key="receipt:2"), sender=SENDER, date=NOON)["Message-ID"]
    assert first == again != other
    assert first.endswith("@easel.example>")


def test_text_and_html_are_two_forms_of_one_message() -> None:
    message = build_message(email(html="<p>Thank you.</p>"), sender=SENDER, date=NOON)
    assert message.get_content_type() == "multipart/alternative"
    parts = [(part.get_content_type(), part.get_content()) for part in message.iter_parts()]
    assert parts == [("text/plain", "Thank you.\n"), ("text/html", "<p>Thank you.</p>\n")]


def test_every_byte_that_leaves_is_ascii_in_short_lines() -> None:
    body = build(subject="Quittung für Ümläut " * 20, text="h\u00e9llo " * 500, html="\u2192" * 999)
    assert body.isascii()
    assert max(map(len, body.splitlines())) <= 998


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@easel.example\nBcc: eve@evil.example",
        "ada@easel.example\r\n\r\nbody",
        "ada@easel.example, eve@evil.example",
        "ada@easel.example;eve@evil.example",
        "Ada <ada@easel.example>, eve@evil.example",
        "adàà@easel.example",
        "no address",
        "",
    ],
)
def test_what_is_not_one_address_is_refused(recipient: str) -> None:
    with pytest.raises(Undeliverable):
        build(recipient=recipient)


@pytest.mark.parametrize("subject", ["Hi\nBcc: eve@evil.example", "Hi\r\nX: y", "Hi\r", "\n"])
def test_a_subject_of_several_lines_is_refused(subject: str) -> None:
    with pytest.raises(Undeliverable):
        build(subject=subject)


def test_a_domain_of_other_letters_is_written_in_ascii() -> None:
    message = build_message(email(recipient="ada@stra\u00dfe.example"), sender=SENDER, date=NOON)
    assert message["To"] == "ada@xn--strae-oqa.example"


@given(subject=st.text(), recipient=st.text(), text=st.text(st.characters(codec="utf-8")))
def test_no_text_becomes_a_header(subject: str, recipient: str, text: str) -> None:
    for given_texts in ({"subject": subject}, {"recipient": recipient + "@easel.example"}):
        try:
            body = build(text=text, **given_texts)
        except Undeliverable:
            continue
        head = body.partition(b"\r\n\r\n")[0].decode("ascii")
        names = {
            line.partition(":")[0].lower()
            for line in head.split("\r\n")
            if not line.startswith((" ", "\t"))
        }
        assert names == HEADERS | CONTENT
        assert head.count("@easel.example") == 3  # from, to, message id
