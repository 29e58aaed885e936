"""SES: what is asked over the wire, and which refusals are for good."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from libs.mail.failures import MailUnavailable, Undeliverable
from libs.mail.message import Email, build_message
from libs.mail.sender import build_sender
from libs.mail.settings import MailSettings
from tests.libs.mail.ses_endpoint import SesEndpoint, ses_endpoint

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAIL_FROM = "Easel <mail@easel.example>"


@pytest.fixture
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[SesEndpoint]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "akid")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with ses_endpoint() as endpoint:
        yield endpoint


async def send(url: str) -> None:
    settings = MailSettings(
        mail_transport="ses", mail_from=MAIL_FROM, ses_region="eu-west-1", ses_endpoint_url=url
    )
    email = Email("k", "ada@easel.example", "Grüße", "Hallo\n", "<p>Hallo</p>")
    sender = build_sender(settings)
    await sender.transport(build_message(email, sender=sender.mail_from, date=NOON))


async def test_the_raw_message_is_asked_to_be_sent(ses: SesEndpoint) -> None:
    await send(ses.url)
    ((authorization, body),) = ses.requests
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=akid/")
    assert "/eu-west-1/ses/aws4_request" in authorization
    assert body["FromEmailAddress"] == MAIL_FROM
    assert body["Destination"] == {"ToAddresses": ["ada@easel.example"]}
    raw = base64.b64decode(body["Content"]["Raw"]["Data"])
    assert raw.isascii()
    message = message_from_bytes(raw, policy=default)
    assert (message["Subject"], message["To"]) == ("Grüße", "ada@easel.example")
    assert message.get_content_type() == "multipart/alternative"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("BadRequestException", Undeliverable),
        ("MessageRejected", MailUnavailable),
        ("SendingPausedException", MailUnavailable),
        ("TooManyRequestsException", MailUnavailable),
        ("InternalFailure", MailUnavailable),
    ],
)
async def test_a_refusal_is_for_good_or_for_now(
    ses: SesEndpoint, error: str, kind: type[Exception]
) -> None:
    ses.error = error
    with pytest.raises(kind, match=error):
        await send(ses.url)
    assert len(ses.requests) == 1, "the queue tries again, not the client"


async def test_an_endpoint_that_is_away_is_tried_later() -> None:
    with pytest.raises(MailUnavailable):
        await send("http://127.0.0.1:9")
