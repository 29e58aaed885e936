"""Why an event cannot be applied until somebody mends something; it is kept until then."""


class Stuck(Exception):
    """Base. `kind` is what the inbox, the alert and the admin call it."""

    kind = "stuck"


class UnknownUser(Stuck):
    """The event names no user, or one who has no account."""

    kind = "unknown-user"


class UnknownVariant(Stuck):
    """The event is about something that we do not sell."""

    kind = "unknown-variant"


class Unreadable(Stuck):
    """A member that we need is missing or of another kind."""

    kind = "unreadable"
