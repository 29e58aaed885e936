"""Settings of the model service."""

from libs.auth.tenant_application import TenantServiceSettings


class ModelSettings(TenantServiceSettings):
    """Nothing beyond what every service has."""
