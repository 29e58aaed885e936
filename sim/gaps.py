"""How long a tier that could be served was not."""

from collections import Counter
from collections.abc import Mapping

from libs.tiers.fair_queue import InFlight


class Gaps:
    """Watches the tiers of one pool: a tier could be served while one of its users waits and is
    below its running limit. `longest`: seconds between services of a tier all that time."""

    def __init__(self, limits: Mapping[str, int], in_flight: InFlight) -> None:
        self.longest = dict.fromkeys(limits, 0.0)
        self._limits, self._in_flight = limits, in_flight
        self._waiting: Counter[str] = Counter()
        self._servable: dict[str, set[str]] = {tier: set() for tier in limits}
        self._since: dict[str, float] = {}

    def entered(self, tier: str, user: str, now: float) -> None:
        """A job waits."""
        self._waiting[user] += 1
        self._look(tier, user, now)

    def left(self, tier: str, user: str, now: float) -> None:
        """A job waits no more, and was not served."""
        self._waiting[user] -= 1
        self._look(tier, user, now)

    def served(self, tier: str, user: str, now: float) -> None:
        """A job was taken; it is counted as in flight already."""
        self._close(tier, now)
        self._since[tier] = now
        self.left(tier, user, now)

    def ended(self, tier: str, user: str, now: float) -> None:
        """A job is in flight no more."""
        self._look(tier, user, now)

    def finish(self, now: float) -> None:
        """The simulation ends: gaps that are open count."""
        for tier in list(self._since):
            self._close(tier, now)

    def _look(self, tier: str, user: str, now: float) -> None:
        users = self._servable[tier]
        if self._waiting[user] and self._in_flight[user] < self._limits[tier]:
            users.add(user)
            self._since.setdefault(tier, now)
        else:
            users.discard(user)
            if not users:
                self._close(tier, now)

    def _close(self, tier: str, now: float) -> None:
        since = self._since.pop(tier, now)
        self.longest[tier] = max(self.longest[tier], now - since)
