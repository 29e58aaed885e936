"""What can go wrong with an account, as its owner and the staff see it."""

from libs.kernel.problems import BadRequest, Conflict, Forbidden, NotFound, Unauthorized


class EmailTaken(Conflict):
    slug, title = "email-taken", "There is an account with this e-mail address"


class InvalidCredentials(Unauthorized):
    slug, title = "invalid-credentials", "The e-mail address or the password is wrong"


class InvalidRefreshToken(Unauthorized):
    slug, title = "invalid-refresh-token", "The refresh token is not valid; log in again"


class InvalidConfirmationToken(BadRequest):
    slug, title = "invalid-confirmation-token", "The link is not valid any more; register again"


class InvalidResetToken(BadRequest):
    slug, title = "invalid-reset-token", "The link is not valid any more; ask for another"


class WrongPassword(Forbidden):
    slug, title = "wrong-password", "The password is wrong"


class AccountSuspended(Forbidden):
    slug, title = "account-suspended", "This account is suspended"


class SessionNotFound(NotFound):
    slug, title = "session-not-found", "You have no such login session"


class AccountNotFound(NotFound):
    slug, title = "account-not-found", "There is no such account"


class LastAdministrator(Conflict):
    slug, title = "last-administrator", "Nobody would be left to administer the platform"


class ApiKeyNotFound(NotFound):
    slug, title = "api-key-not-found", "You have no such API key in use"


class TooManyApiKeys(Conflict):
    slug, title = "too-many-api-keys", "You have as many API keys in use as anybody may have"


class ExportNotFound(NotFound):
    slug, title = "export-not-found", "There is no archive of yours"
