"""Send through Amazon SES, API version 2 (`SendEmail` with a raw message).

boto3 is synchronous; every call runs in a thread. SES writes a Message-ID of its own.
"""

import asyncio
from email.message import EmailMessage
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from libs.mail.failures import MailUnavailable, Undeliverable
from libs.mail.settings import MailSettings

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

# Others speak of the account, its limits and its domains, which an operator mends.
PERMANENT = {"BadRequestException"}


def build_ses(settings: MailSettings) -> "SESV2Client":
    """A client that tries once: the queue is what tries again."""
    return boto3.client(
        "sesv2",
        region_name=settings.ses_region,
        endpoint_url=settings.ses_endpoint_url,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=20),
    )


async def send_by_ses(client: "SESV2Client", message: EmailMessage) -> None:
    """One message. Raises Undeliverable or MailUnavailable."""
    await asyncio.to_thread(_send, client, message)


def _send(client: "SESV2Client", message: EmailMessage) -> None:
    try:
        client.send_email(
            FromEmailAddress=str(message["From"]),
            Destination={"ToAddresses": [str(message["To"])]},
            Content={"Raw": {"Data": message.as_bytes()}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in PERMANENT:
            raise Undeliverable(str(error)) from error
        raise MailUnavailable(str(error)) from error
    except BotoCoreError as error:
        raise MailUnavailable(repr(error)) from error
