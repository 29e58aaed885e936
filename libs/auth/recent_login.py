"""What cannot be taken back asks for a login of the last minutes, not just for a token."""

from datetime import datetime, timedelta

from libs.auth.principals import Principal
from libs.kernel.problems import Forbidden

RECENT = timedelta(minutes=10)


class RecentLoginRequired(Forbidden):
    slug, title = "recent-login-required", "Log in again to do this"


def require_recent_login(principal: Principal, now: datetime) -> None:
    """Raises RecentLoginRequired (403) for a login older than ten minutes."""
    if principal.authenticated_at is None or now - principal.authenticated_at > RECENT:
        raise RecentLoginRequired("This needs a login of the last ten minutes")
