"""How sending fails."""


class Undeliverable(Exception):
    """This e-mail can never be sent as it is; trying again changes nothing."""


class MailUnavailable(Exception):
    """The transport does not take it now; the e-mail may be tried again."""
