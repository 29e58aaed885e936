"""What can go wrong between a person, a sign-in provider and us."""

from libs.kernel.problems import BadRequest, Conflict, Forbidden, NotFound, ServiceUnavailable


class ProviderNotOffered(NotFound):
    slug, title = "provider-not-offered", "This way to sign in is not offered here"


class ProviderUnavailable(ServiceUnavailable):
    slug, title = "provider-unavailable", "The sign-in provider does not answer; try again later"


class SignInExpired(BadRequest):
    slug, title = "sign-in-expired", "This sign-in is not one that this browser has under way"


class SignInCancelled(BadRequest):
    slug, title = "sign-in-cancelled", "The sign-in was cancelled at the provider"


class SignInRefused(BadRequest):
    slug, title = "sign-in-refused", "What the sign-in provider answered cannot be trusted"


class ProviderEmailUnverified(Forbidden):
    slug = "provider-email-unverified"
    title = "The sign-in provider has not verified your e-mail address"


class IdentityNotFound(NotFound):
    slug, title = "identity-not-found", "There is no such linked login"


class LastWayIn(Conflict):
    slug, title = "last-way-in", "This is the last way into the account; set a password first"
