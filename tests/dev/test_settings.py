"""What the platform tells its processes is what they ask for, and what the double sells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dev import ports
from dev.backing import external_backing
from dev.local_secrets import load_or_make
from dev.platform import background_programs, front_programs
from dev.settings import (
    VARIANTS,
    Setup,
    double_settings,
    service_settings,
    sign_in_double_settings,
)
from dev.state import State
from libs.kernel.settings import Settings
from libs.testkit.lemon_squeezy.catalogue import VARIANTS as SOLD
from services.gallery.settings import GallerySettings
from services.generation.settings import GenerationSettings, RelaySettings, WorkerSettings
from services.model.settings import ModelSettings
from services.payment.offers import Shelf, all_offers
from services.payment.settings import BillingSettings, PaymentSettings
from services.user.account_settings import AccountSettings
from services.user.providers.offered import ProviderName
from services.user.providers.settings import ProviderSettings, callback_url
from services.user.settings import UserSettings

SETTINGS: Mapping[str, type[Settings]] = {
    "user": UserSettings,
    "payment": PaymentSettings,
    "generation": GenerationSettings,
    "gallery": GallerySettings,
    "model": ModelSettings,
    "worker": WorkerSettings,
    "relay": RelaySettings,
    "billing": BillingSettings,
    "account": AccountSettings,
}
DOUBLES = ("lemon-squeezy", "openid", "discord")


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    caddy = tmp_path / "caddy"
    caddy.touch(mode=0o755)
    monkeypatch.setenv("EASEL_CADDY", str(caddy))
    state = State(tmp_path)
    state.make()
    secrets = load_or_make(state.secrets)
    (state.secrets / "signing-keys").mkdir()
    return Setup(state, ports.choose({}, {}), secrets, external_backing({}), "python", "python")


def environments(setup: Setup) -> dict[str, Mapping[str, str]]:
    programs = [*front_programs(setup), *background_programs(setup)]
    return {program.name: program.env for program in programs}


def test_every_process_of_ours_is_known(setup: Setup) -> None:
    assert set(environments(setup)) == {*SETTINGS, *DOUBLES, "gateway", "studio"}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_process_gets_the_settings_that_it_needs(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable, value in environments(setup)[name].items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    assert f"easel_{name}:" in settings.model_dump()["database_url"]


def test_the_double_sells_every_offer_at_our_price() -> None:
    shelf = Shelf(VARIANTS)
    prices = {offer.key: offer.price_cents for offer in all_offers()}
    assert {key: SOLD[int(VARIANTS[key])].price_cents for key in VARIANTS} == prices
    assert {shelf.offer_of(str(variant)) for variant in SOLD} == set(all_offers())


def test_the_double_and_the_service_share_their_secrets(setup: Setup) -> None:
    double, payment = double_settings(setup), service_settings(setup, "payment")
    for ours, theirs in (
        ("EASEL_LEMON_SQUEEZY_WEBHOOK_SECRET", "EASEL_LS_WEBHOOK_SECRET"),
        ("EASEL_LEMON_SQUEEZY_API_KEY", "EASEL_LS_API_KEY"),
        ("EASEL_LEMON_SQUEEZY_STORE_ID", "EASEL_LS_STORE_ID"),
    ):
        assert payment[ours] == double[theirs]
    assert double["EASEL_LS_WEBHOOK_URL"].startswith(setup.public_url)


@pytest.mark.parametrize(("name", "part"), [("google", "openid"), ("discord", "discord")])
def test_sign_in_doubles_know_the_user_service(setup: Setup, name: ProviderName, part: str) -> None:
    double = sign_in_double_settings(setup, name)
    told: dict[str, Any] = {
        variable.removeprefix("EASEL_").lower(): value
        for variable, value in environments(setup)["user"].items()
    }
    ours = ProviderSettings(**told)
    variable = f"EASEL_{name.upper()}_CLIENT"
    secret = getattr(ours, f"{name}_client_secret").get_secret_value()
    assert double[f"{variable}_ID"] == getattr(ours, f"{name}_client_id")
    assert double[f"{variable}_SECRET"] == secret == setup.secrets[f"{name}_client_secret"]
    assert double[f"EASEL_{name.upper()}_REDIRECT_URI"] == callback_url(ours, name)
    assert double[f"EASEL_{part.upper()}_PORT"] in (ours.google_issuer + ours.discord_base_url)
