"""Settings of the payment service."""

from libs.auth.tenant_application import TenantServiceSettings


class PaymentSettings(TenantServiceSettings):
    """Nothing beyond what every service has."""
