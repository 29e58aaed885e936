"""The mail catcher: what is sent to it is kept, shown, and never run."""

import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.mail_catcher import POLICY
from dev.mailbox import Mailbox
from dev.parts.mail import mail_catcher
from dev.parts.program import LOOPBACK, free_port, services_python, start, stop, wait_ready

EVIL = '</pre></iframe><script>alert("caught")</script>'


@dataclass(frozen=True)
class Catcher:
    """A running catcher."""

    smtp_port: int
    url: str

    def send(self, subject: str, *, to: str = "ada@easel.example", html: str = "") -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "mail@easel.example", to, subject
        message.set_content(f"Text of {subject}\n")
        if html:
            message.add_alternative(html, subtype="html")
        with smtplib.SMTP(LOOPBACK, self.smtp_port) as server:
            server.send_message(message)

    def messages(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/messages{query}").json()
        return found


@contextmanager
def running(folder: Path) -> Iterator[Catcher]:
    smtp_port, web_port = free_port(), free_port()
    program = mail_catcher(services_python(), smtp_port, web_port, folder / "mail")
    log = folder / "mail.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log)
        yield Catcher(smtp_port, f"http://{LOOPBACK}:{web_port}")
    finally:
        stop(program, process)
    assert process.returncode == 0, log.read_text()


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    with running(tmp_path) as caught:
        yield caught


def test_emails_are_listed_newest_first_and_survive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        assert first.messages() == []
        first.send("one")
        first.send("two", html="<p>Two</p>")
    with running(tmp_path) as second:
        second.send("three")
        found = second.messages()
        assert [mail["subject"] for mail in found] == ["three", "two", "one"]
        assert [mail["html"] for mail in found] == ["", "<p>Two</p>\n", ""]
        assert found[2]["text"] == "Text of one\n"
        page = httpx.get(f"{second.url}/").text
        assert page.index("three") < page.index("two") < page.index("one")


def test_the_list_may_be_of_one_recipient(catcher: Catcher) -> None:
    catcher.send("mine", to="ada@easel.example")
    catcher.send("theirs", to="bob@easel.example")
    assert [m["subject"] for m in catcher.messages("?to=ada@easel.example")] == ["mine"]
    assert catcher.messages("?to=nobody@easel.example") == []


def test_what_an_email_says_is_shown_and_never_run(catcher: Catcher) -> None:
    catcher.send(EVIL, html=EVIL)
    (mail,) = catcher.messages()
    assert mail["subject"] == EVIL
    for path in ("/", f"/messages/{mail['id']}"):
        answer = httpx.get(catcher.url + path)
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert answer.headers["Content-Security-Policy"] == POLICY
    assert "<iframe sandbox srcdoc=" in answer.text


def test_letters_that_are_not_known_hide_no_other_email(catcher: Catcher) -> None:
    with smtplib.SMTP(LOOPBACK, catcher.smtp_port) as server:
        head = "Subject: odd\r\nContent-Type: text/plain; charset=klingon\r\n\r\n"
        server.sendmail("a@easel.example", ["b@easel.example"], head + "nuqneH\r\n")
    catcher.send("plain")
    assert [mail["subject"] for mail in catcher.messages()] == ["plain", "odd"]


def test_a_page_loads_and_runs_nothing() -> None:
    assert POLICY.startswith("default-src 'none';")
    assert "script-src" not in POLICY


@pytest.mark.parametrize("path", ["/messages/none", "/messages/../mail.log", "/messages/", "/x"])
def test_only_emails_are_shown(catcher: Catcher, path: str) -> None:
    catcher.send("one")
    assert httpx.get(httpx.URL(catcher.url, raw_path=path.encode())).status_code == 404


def test_a_page_of_a_web_site_cannot_read_the_mail(catcher: Catcher) -> None:
    answer = httpx.get(catcher.url + "/api/messages", headers={"Host": "rebound.example"})
    assert answer.status_code == 421


def test_the_newest_token_for_an_address_is_found(catcher: Catcher) -> None:
    mailbox = Mailbox(catcher.url)
    for token in ("older", "newer"):
        catcher.send(f"https://easel.example/confirm-email#token={token}", to="ada+1@easel.example")
        time.sleep(0.01)  # the order of files is that of their times
    catcher.send("no token", to="ada+1@easel.example")
    catcher.send("https://easel.example/confirm-email#token=others", to="ada@easel.example")
    assert mailbox.wait_for_token("ada+1@easel.example") == "newer"
    assert len(mailbox.texts("ada+1@easel.example")) == 3
    assert mailbox.texts("nobody@easel.example") == []
