"""What is wrong with the settings is said when the process starts."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.mail.settings import MailSettings

SMTP: dict[str, Any] = {
    "mail_transport": "smtp",
    "mail_from": "mail@easel.example",
    "smtp_host": "127.0.0.1",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"smtp_host": ""}, "EASEL_SMTP_HOST is needed"),
        ({"mail_transport": "ses"}, "EASEL_SES_REGION is needed"),
        ({"mail_transport": "pigeon"}, "Input should be 'smtp' or 'ses'"),
        ({"mail_from": "nobody"}, "no e-mail address"),
        ({"mail_from": "a@b.example\nBcc: c@d.example"}, "no e-mail address"),
        ({"smtp_user": "me"}, "belong together"),
        ({"smtp_user": "me", "smtp_password": "x", "smtp_tls": "none"}, "in the clear"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MailSettings(**{**SMTP, **change})


def test_encryption_is_asked_for_unless_it_is_switched_off() -> None:
    assert MailSettings(**SMTP).smtp_tls == "starttls"
