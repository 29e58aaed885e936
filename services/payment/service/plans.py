"""The plans that can be bought."""

from libs.tiers.catalogue import load_catalogue
from services.payment.schemas import PlansAnswer


def list_plans() -> PlansAnswer:
    """The plans of this build's catalogue."""
    catalogue = load_catalogue()
    return PlansAnswer(version=catalogue.version, plans=catalogue.tiers)
