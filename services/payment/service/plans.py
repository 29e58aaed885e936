"""The plans and packs that can be bought."""

from libs.tiers.catalogue import load_catalogue
from services.payment.schemas.plans import PlansAnswer


def list_plans() -> PlansAnswer:
    """What this build's catalogue offers."""
    catalogue = load_catalogue()
    return PlansAnswer(version=catalogue.version, plans=catalogue.tiers, packs=catalogue.packs)
