"""What can go wrong with webhooks, for the provider that sends them and for admins."""

from libs.kernel.problems import Conflict, NotFound, Problem


class InvalidSignature(Problem):
    slug, status, title = "invalid-signature", 401, "The signature does not fit the body"


class InboxEntryNotFound(NotFound):
    slug, title = "inbox-entry-not-found", "There is no such webhook in the inbox"


class InboxEntryNotStuck(Conflict):
    slug, title = "inbox-entry-not-stuck", "The webhook waits for nobody"
