"""SMTP under STARTTLS, with a login, as a real mail server asks for it."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.mail.failures import MailUnavailable
from libs.mail.message import Email, build_message
from libs.mail.sender import build_sender
from libs.mail.settings import MailSettings
from tests.libs.mail.mail_server import MAIL_FROM, MailServer, mail_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMAIL = Email("k", "ada@easel.example", "Hello", "Hi\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody trusts yet, in one PEM file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.NameAttribute
    subject = x509.Name([name(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
async def secured(certificate: Path) -> AsyncIterator[MailServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with mail_server(context) as server:
        yield server


async def send(settings: MailSettings) -> None:
    await build_sender(settings).transport(build_message(EMAIL, sender=MAIL_FROM, date=NOON))


def login(server: MailServer, password: str = "right") -> MailSettings:
    account = {"smtp_user": "mailer", "smtp_password": password}
    return server.settings(smtp_host="localhost", smtp_tls="starttls", **account)


async def test_a_trusted_server_is_sent_to_after_the_login(
    secured: MailServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await send(login(secured))
    assert secured.logins == [(b"mailer", b"right")]
    assert [message["Subject"] for message in secured.messages] == ["Hello"]


async def test_a_wrong_password_is_ours_to_mend(
    secured: MailServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(MailUnavailable, match="SMTPAuthenticationError"):
        await send(login(secured, "wrong"))
    assert secured.messages == []


async def test_an_untrusted_server_learns_no_password(secured: MailServer) -> None:
    with pytest.raises(MailUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await send(login(secured))
    assert secured.logins == []


async def test_a_server_without_encryption_is_not_sent_to_by_mistake() -> None:
    async with mail_server() as open_server:
        with pytest.raises(MailUnavailable, match="STARTTLS"):
            await send(open_server.settings(smtp_tls="starttls"))
        assert open_server.received == []
