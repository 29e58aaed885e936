"""Who e-mails are from, and the transport that carries them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial

from libs.mail.settings import MailSettings
from libs.mail.smtp import send_by_smtp

# Raises Undeliverable (never again) or MailUnavailable (later).
Transport = Callable[[EmailMessage], Awaitable[None]]


@dataclass(frozen=True)
class Sender:
    """`mail_from` is what every e-mail says that it is from."""

    mail_from: str
    transport: Transport


def build_sender(settings: MailSettings) -> Sender:
    """The sender that the settings choose; connects to nothing yet."""
    if settings.mail_transport == "smtp":
        return Sender(settings.mail_from, partial(send_by_smtp, settings))
    # boto3 costs 30 MiB: only who sends by SES loads it
    from libs.mail.ses import build_ses, send_by_ses

    return Sender(settings.mail_from, partial(send_by_ses, build_ses(settings)))
