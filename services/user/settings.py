"""Settings of the user service."""

from pydantic import DirectoryPath

from libs.auth.tenant_application import TenantServiceSettings


class UserSettings(TenantServiceSettings):
    """`signing_keys` is the folder of `libs.auth.signing_keys`: PEM, EC P-256 or Ed25519."""

    signing_keys: DirectoryPath
