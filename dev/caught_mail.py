"""The e-mails that the local mail catcher has kept, and the pages that show them.

They are files of a Maildir. Whatever an e-mail says is shown as text; its HTML is shown in a frame
that runs nothing and loads nothing.
"""

import mailbox
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from html import escape
from pathlib import Path

NEWEST = 200
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd }
pre { white-space: pre-wrap; background: #f6f6f6; padding: 1rem }
iframe { width: 100%; height: 30rem; border: 1px solid #ddd }
"""


@dataclass(frozen=True)
class CaughtMail:
    """One e-mail; `id` is its file's name, `received_at` is ISO 8601 in UTC."""

    id: str
    received_at: str
    sender: str
    to: str
    subject: str
    text: str
    html: str


def newest_first(folder: Path, to: str = "", limit: int = NEWEST) -> list[CaughtMail]:
    """The e-mails last caught, of one recipient if `to` is given."""
    files = sorted((folder / "new").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    found = []
    for file in reversed(files):
        mail = read_mail(file)
        if to in ("", mail.to):
            found.append(mail)
        if len(found) == limit:
            break
    return found


def find_mail(folder: Path, mail_id: str) -> CaughtMail | None:
    """The e-mail of that id."""
    known = mailbox.Maildir(folder).keys()
    return read_mail(folder / "new" / mail_id) if mail_id in known else None


def read_mail(file: Path) -> CaughtMail:
    message = BytesParser(EmailMessage, policy=default).parsebytes(file.read_bytes())
    received_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return CaughtMail(
        id=file.name,
        received_at=received_at.isoformat(timespec="milliseconds"),
        sender=str(message["From"] or ""),
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    try:
        return str(part.get_content()) if part else ""
    except LookupError:
        return "(in letters that are not known here)"


def as_json(mails: Sequence[CaughtMail]) -> list[dict[str, str]]:
    return [asdict(mail) for mail in mails]


def list_page(mails: Sequence[CaughtMail]) -> str:
    """The page of all e-mails, newest first."""
    rows = "".join(
        f"<tr><td>{mail.received_at[:19]}</td><td>{escape(mail.to)}</td>"
        f'<td><a href="/messages/{escape(mail.id)}">{escape(mail.subject) or "-"}</a></td></tr>'
        for mail in mails
    )
    table = f"<table><tr><th>received (UTC)</th><th>to</th><th>subject</th></tr>{rows}</table>"
    return _page("Caught e-mails", table if mails else "<p>Nothing yet: reload later.</p>")


def mail_page(mail: CaughtMail) -> str:
    """The page of one e-mail: its heads, its text, and its HTML in a closed frame."""
    heads = {"from": mail.sender, "to": mail.to, "received": mail.received_at}
    rows = "".join(
        f"<tr><th>{name}</th><td>{escape(said)}</td></tr>" for name, said in heads.items()
    )
    frame = f'<iframe sandbox srcdoc="{escape(mail.html)}"></iframe>' if mail.html else ""
    body = f'<p><a href="/">all e-mails</a></p><table>{rows}</table><pre>{escape(mail.text)}</pre>'
    return _page(mail.subject, body + frame)


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>"
    )
