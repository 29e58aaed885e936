"""Settings of the user service."""

from pydantic import DirectoryPath, PositiveInt

from libs.auth.tenant_application import TenantServiceSettings
from services.user.archive_settings import ArchiveSettings
from services.user.providers.settings import ProviderSettings


class UserSettings(ProviderSettings, ArchiveSettings, TenantServiceSettings):
    """`signing_keys` is the folder of `libs.auth.signing_keys`: PEM, EC P-256 or Ed25519.

    `public_url` is where the links in e-mails lead. The others are the throttles of
    `services.user.throttles`: how often in a quarter of an hour, letters in an hour.
    """

    public_url: str
    signing_keys: DirectoryPath
    logins_per_address: PositiveInt = 60
    logins_per_account: PositiveInt = 50
    logins_per_account_and_address: PositiveInt = 10
    letters_per_address: PositiveInt = 20
    letters_per_account: PositiveInt = 5
    refreshes_per_address: PositiveInt = 600
