"""Send over SMTP (RFC 5321): the local mail catcher, or any mail server."""

import asyncio
from email.message import EmailMessage

import aiosmtplib

from libs.mail.failures import MailUnavailable, Undeliverable
from libs.mail.settings import MailSettings

TIMEOUT_SECONDS = 20.0
PERMANENT = range(500, 600)


async def send_by_smtp(settings: MailSettings, message: EmailMessage) -> None:
    """One message over a connection of its own.

    Raises Undeliverable where the server refuses this recipient or content for good, and
    MailUnavailable for all else: a refused login or sender is ours to mend, not the e-mail's fault.
    """
    try:
        await _send(_client(settings, message), message)
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        raise _failure(refused.code, refused.message) from error
    except aiosmtplib.SMTPDataError as error:
        raise _failure(error.code, error.message) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise MailUnavailable(repr(error)) from error


def _client(settings: MailSettings, message: EmailMessage) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_user,
        password=settings.smtp_password,
        use_tls=settings.smtp_tls == "tls",
        start_tls=settings.smtp_tls == "starttls",
        # without it the library asks the name service who we are
        local_hostname=message["From"].addresses[0].domain,
        timeout=TIMEOUT_SECONDS,
    )


async def _send(client: aiosmtplib.SMTP, message: EmailMessage) -> None:
    async with client:
        try:
            await client.send_message(message)
        except asyncio.CancelledError:
            client.close()  # who is told to end waits for no goodbye
            raise


def _failure(code: int, said: str) -> Exception:
    kind = Undeliverable if code in PERMANENT else MailUnavailable
    return kind(f"{code} {said}")
