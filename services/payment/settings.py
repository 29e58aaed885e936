"""Settings of the payment service's two processes: the API and the billing worker."""

from pydantic import Field, field_validator

from libs.auth.tenant_application import TenantServiceSettings
from libs.kernel.settings import Settings
from libs.mail.settings import MailSettings
from services.payment.offers import Shelf


class LemonSqueezySettings(Settings):
    """How to reach the provider, and its variant of every offer: `{"pro:month": "1011", ...}`."""

    lemon_squeezy_api_url: str = "https://api.lemonsqueezy.com/v1"
    lemon_squeezy_api_key: str
    lemon_squeezy_store_id: str
    lemon_squeezy_variants: dict[str, str]
    public_url: str

    @field_validator("lemon_squeezy_variants")
    @classmethod
    def are_complete(cls, variants: dict[str, str]) -> dict[str, str]:
        Shelf(variants)
        return variants

    @property
    def shelf(self) -> Shelf:
        """What is sold under which variant."""
        return Shelf(self.lemon_squeezy_variants)


class PaymentSettings(TenantServiceSettings, LemonSqueezySettings):
    """The API. `billing_database_url` logs in as easel_billing: webhooks and admins have no
    tenant. `public_url` is our own origin, to which a checkout leads back."""

    public_url: str
    billing_database_url: str
    user_service_url: str
    lemon_squeezy_webhook_secret: str = Field(min_length=6)


class BillingSettings(LemonSqueezySettings, MailSettings):
    """The worker; its database login is easel_billing."""

    database_url: str
    metrics_port: int
