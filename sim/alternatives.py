"""Other orders of service, to compare with: what the scheduler is better than, and by what."""

import math
from collections.abc import Collection

from libs.tiers.fair_queue import Choice, FairQueue
from libs.tiers.tier_queue import TierQueue


class Alternative(FairQueue):
    """A queue without the turns for jobs past their bound and tiers that were not served."""

    def _unserved(self, now: float) -> Choice | None:
        return None

    def _overdue(self, now: float) -> Choice | None:
        return None

    def oldest(self, tier: TierQueue, now: float) -> Choice | None:
        """The first job of a tier that may start, by age."""
        for _, _, flow in tier.ages:
            if self._may_start(tier, flow, now, noisy=True):
                return Choice(tier, flow, moves_tiers=True, moves_users=True)
        return None


class FirstCome(Alternative):
    """One line for all."""

    def _in_order(self, now: float, loaded: Collection[str]) -> Choice | None:
        found = [choice for tier in self.tiers.values() if (choice := self.oldest(tier, now))]
        return min(found, key=lambda choice: choice.flow.head.id, default=None)


class StrictPriority(Alternative):
    """The dearest plan first, always; by age inside a plan."""

    def _in_order(self, now: float, loaded: Collection[str]) -> Choice | None:
        tiers = sorted(self.tiers.values(), key=lambda tier: -tier.rule.weight)
        return next((choice for tier in tiers if (choice := self.oldest(tier, now))), None)


class WeightsAlone(Alternative):
    """Fair queueing over tiers and users, and nobody is noisy."""

    def set_shares(self, slots: int, now: float) -> None:
        for tier in self.tiers.values():
            tier.share = math.inf


class FloodLast(WeightsAlone):
    """Knows who floods, and serves that user when nobody else waits: no order of service that
    interrupts nothing can do more for the others."""

    def _in_order(self, now: float, loaded: Collection[str]) -> Choice | None:
        flows = [
            (tier, flow)
            for tier in sorted(self.tiers.values(), key=self._turn)
            for flow in self._lane(tier, now, noisy=True)
        ]
        flows.sort(key=lambda place: place[1].user.endswith("-flood"))
        return Choice(*flows[0], moves_tiers=True, moves_users=True) if flows else None


ORDERS: dict[str, type[FairQueue]] = {
    "first come, first served": FirstCome,
    "strict priority": StrictPriority,
    "weights alone": WeightsAlone,
    "Easel": FairQueue,
}
