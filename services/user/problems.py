"""What can go wrong with an account, as its owner sees it."""

from libs.kernel.problems import Conflict, Unauthorized


class EmailTaken(Conflict):
    slug, title = "email-taken", "There is an account with this e-mail address"


class InvalidCredentials(Unauthorized):
    slug, title = "invalid-credentials", "The e-mail address or the password is wrong"


class InvalidRefreshToken(Unauthorized):
    slug, title = "invalid-refresh-token", "The refresh token is not valid; log in again"
