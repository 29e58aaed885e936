"""How e-mails leave: settings of the process that sends them."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from libs.kernel.settings import Settings
from libs.mail.failures import Undeliverable
from libs.mail.message import parse_address


class MailSettings(Settings):
    """`EASEL_MAIL_TRANSPORT=smtp` needs `EASEL_SMTP_HOST`, `ses` needs `EASEL_SES_REGION`.

    SES takes its credentials from the cloud (IRSA); `EASEL_SES_ENDPOINT_URL` names a private
    endpoint. `EASEL_MAIL_FROM` is an address, with or without a name: `Easel <mail@easel.example>`.
    """

    mail_transport: Literal["smtp", "ses"]
    mail_from: str
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: str | None = None
    ses_region: str = ""
    ses_endpoint_url: str | None = None

    @field_validator("mail_from")
    @classmethod
    def is_an_address(cls, value: str) -> str:
        try:
            parse_address(value)
        except Undeliverable as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def is_complete(self) -> Self:
        if self.mail_transport == "smtp" and not self.smtp_host:
            raise ValueError("EASEL_SMTP_HOST is needed to send by SMTP")
        if self.mail_transport == "ses" and not self.ses_region:
            raise ValueError("EASEL_SES_REGION is needed to send by SES")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError("EASEL_SMTP_USER and EASEL_SMTP_PASSWORD belong together")
        if self.smtp_password is not None and self.smtp_tls == "none":
            raise ValueError("EASEL_SMTP_TLS=none would send EASEL_SMTP_PASSWORD in the clear")
        return self
