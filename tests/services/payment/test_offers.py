"""Offers and the provider's variants, from the settings to the shelf."""

import json

import pytest

from libs.kernel.settings import load
from services.payment.offers import PackOffer, PlanOffer, Shelf, all_offers
from services.payment.settings import LemonSqueezySettings
from tests.services.payment.shop import VARIANTS


def test_every_plan_and_pack_that_is_for_sale_has_a_variant_and_back() -> None:
    shelf = Shelf(VARIANTS)
    offers = list(all_offers())
    assert [offer.key for offer in offers] == list(VARIANTS)
    for offer in offers:
        assert shelf.offer_of(shelf.variant_of(offer)) == offer
    assert shelf.variant_of(PlanOffer("pro", "year")) == "1012"
    assert shelf.offer_of("2003") == PackOffer("large")
    assert shelf.offer_of("4711") is None


def test_prices_are_the_catalogues() -> None:
    assert PlanOffer("pro", "year").price_cents == 75_000
    assert PlanOffer("starter", "month").price_cents == 2_500
    assert PackOffer("small").price_cents == 600


WITHOUT_ONE = {key: variant for key, variant in VARIANTS.items() if key != "pro:year"}
WRONG = [
    (WITHOUT_ONE, "missing or unknown: pro:year"),
    ({**VARIANTS, "free:month": "9"}, "missing or unknown: free:month"),
    ({**VARIANTS, "pack:large": "1001"}, "one variant for two offers"),
]


@pytest.mark.parametrize(("variants", "message"), WRONG)
def test_the_process_does_not_start_with_a_shelf_that_has_holes(
    variants: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EASEL_LEMON_SQUEEZY_API_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("EASEL_LEMON_SQUEEZY_API_KEY", "key")
    monkeypatch.setenv("EASEL_LEMON_SQUEEZY_STORE_ID", "1")
    monkeypatch.setenv("EASEL_LEMON_SQUEEZY_VARIANTS", json.dumps(variants))
    with pytest.raises(SystemExit):
        load(LemonSqueezySettings)
    said = capsys.readouterr().err
    assert "EASEL_LEMON_SQUEEZY_VARIANTS" in said and message in said
