"""From a queued e-mail to an Internet message (RFC 5322).

The standard library writes every header: a line break in an address or a subject is refused, so
nobody's data becomes a header of its own.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr

from email_validator import EmailNotValidError, validate_email

from libs.mail.failures import Undeliverable

# 7 bits: every server takes it, and SES demands it of what is not ASCII.
POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True)
class Email:
    """What somebody is told. `key` names the occasion, once for ever."""

    key: str
    recipient: str
    subject: str
    text: str
    html: str | None = None


def build_message(email: Email, *, sender: str, date: datetime) -> EmailMessage:
    """The message from `sender` (an address, with or without a name). Raises Undeliverable."""
    message = EmailMessage(policy=POLICY)
    origin = parse_address(sender)
    try:
        message["From"] = origin
        message["To"] = parse_address(email.recipient)
        message["Subject"] = one_line(email.subject)
        message["Date"] = date
        message["Message-ID"] = message_id(email.key, origin.domain)
        # RFC 3834: out-of-office robots do not answer.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(email.text)
        if email.html is not None:
            message.add_alternative(email.html, subtype="html")
    except (ValueError, MessageError) as error:
        raise Undeliverable(str(error)) from error
    return message


def one_line(text: str) -> str:
    """The text. Raises Undeliverable if it breaks the line, at its end too."""
    if "\r" in text or "\n" in text:
        raise Undeliverable("a header is one line")
    return text


def parse_address(text: str) -> Address:
    """One address, its domain in ASCII (IDNA). Raises Undeliverable for none and for several."""
    name, found = parseaddr(text) if text.endswith(">") else ("", text)
    try:
        checked = validate_email(found, check_deliverability=False).ascii_email
        if checked is None:
            raise Undeliverable("the part before the @ is not ASCII, which few servers take")
        return Address(display_name=name, addr_spec=checked)
    except (EmailNotValidError, ValueError) as error:
        raise Undeliverable(f"no e-mail address: {error}") from error


def message_id(key: str, domain: str) -> str:
    """The same for every try of an e-mail: receivers that drop doubles know it by this."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"
