"""Settings of the user service."""

from pydantic import FilePath

from libs.auth.tenant_application import TenantServiceSettings


class UserSettings(TenantServiceSettings):
    """`signing_key_file` holds the private key of access tokens: PEM, EC P-256 or Ed25519."""

    signing_key_file: FilePath
