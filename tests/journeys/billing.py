"""What a customer sees of billing: the provider's pages, and the e-mails that arrive."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

from dev import ports
from dev.account import OPERATOR
from dev.local_secrets import load_or_make
from dev.settings import WEBHOOK_PATH
from tests.running_platform import Platform, User, wait_until

CREDIT = 1_000
SECONDS = 30.0


class FormReader(HTMLParser):
    """The fields of the one form of a page, with what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.fields[given["name"] or ""] = given.get("value") or ""


@dataclass(frozen=True)
class Shop:
    """The payment provider's double and the mail catcher of a running platform."""

    platform: Platform
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def address(self, part: str) -> str:
        return f"http://127.0.0.1:{ports.remembered(self.platform.state)[part]}"

    def open_checkout(self, user: User, **wanted: str) -> str:
        """The address of a checkout page for a plan or a pack."""
        answer = user.http.post("/api/v1/payments/checkout", json=wanted)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["checkout_url"])

    def pay(self, url: str) -> httpx.Response:
        """Open the page and send its form as it is filled in: with a test card that pays."""
        page = self.http.get(url)
        assert page.status_code == 200, page.text
        reader = FormReader()
        reader.feed(page.text)
        assert reader.fields["card_number"] == "4242 4242 4242 4242"
        return self.http.post(url, data=reader.fields)

    def press(self, action: str, subject: str) -> None:
        """Press a button of the provider's dashboard."""
        form = {"action": action, "id": subject}
        answer = self.http.post(self.address("lemon_squeezy") + "/dashboard", data=form)
        assert answer.status_code == 303, answer.text

    def deliveries(self) -> list[dict[str, Any]]:
        """Every webhook that the provider has sent."""
        found: list[dict[str, Any]] = self.http.get(
            self.address("lemon_squeezy") + "/_double/deliveries"
        ).json()
        return found

    def send_again(self, delivery: dict[str, Any]) -> int:
        """Send a webhook once more, the same bytes; the status of the answer."""
        path = f"/_double/deliveries/{delivery['id']}/again"
        again = self.http.post(self.address("lemon_squeezy") + path).json()
        (sent,) = [found for found in self.deliveries() if found["id"] == again["id"]]
        return int(sent["attempts"][-1]["status"])

    def hold_webhooks(self) -> None:
        """Nothing is sent until it is released or lost."""
        path = self.address("lemon_squeezy") + "/_double/outbox"
        assert self.http.put(path, json={"hold": True}).status_code == 200

    def lose_held_webhooks(self) -> None:
        """What is held is never sent; what comes after it is."""
        held = [found["id"] for found in self.deliveries() if found["state"] == "held"]
        assert held
        base = self.address("lemon_squeezy") + "/_double/"
        assert self.http.post(base + "deliveries/drop", json={"ids": held}).status_code == 200
        assert self.http.put(base + "outbox", json={"hold": False}).status_code == 200

    def subscription_of(self, user: User) -> str:
        """The provider's number of the user's subscription: the one of its last webhook."""
        bodies = [d["body"] for d in self.deliveries() if d["event"] == "subscription_created"]
        (body,) = [body for body in bodies if user.email in body]
        return str(httpx.Response(200, text=body).json()["data"]["id"])

    def emails(self, user: User) -> list[dict[str, str]]:
        """What arrived at the user's address, newest first."""
        found = self.http.get(self.address("mail") + "/api/messages", params={"to": user.email})
        return list(found.json())

    def wait_for_email(self, user: User, subject: str) -> dict[str, str]:
        """The one e-mail with that subject."""
        wait_until(lambda: subject in [m["subject"] for m in self.emails(user)], SECONDS)
        (found,) = [mail for mail in self.emails(user) if mail["subject"] == subject]
        return found

    def tell(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Call the webhook as anybody may."""
        return self.http.post(self.platform.url + WEBHOOK_PATH, content=body, headers=headers)


def log_in_operator(platform: Platform) -> User:
    """The operator whom `./easel up` has made."""
    password = load_or_make(platform.state.secrets)[OPERATOR.secret]
    credentials = {"email": OPERATOR.email, "password": password}
    answer = httpx.post(f"{platform.url}/api/v1/auth/login", json=credentials)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    client = httpx.Client(base_url=platform.url, headers=headers, timeout=30)
    return User(client, OPERATOR.email, password)


def current(user: User) -> Any:
    return user.get("/api/v1/subscriptions/current")


def invoices(user: User) -> list[Any]:
    """The charges of the user's subscriptions, newest first."""
    return list(user.get("/api/v1/payments/invoices")["items"])


def wait_for_plan(user: User, plan: str, status: str) -> Any:
    """The subscription once it has that plan and status."""

    def reached() -> bool:
        told = current(user)["subscription"]
        return told is not None and (told["plan_now"], told["status"]) == (plan, status)

    wait_until(reached, SECONDS)
    return current(user)["subscription"]


def credits_by_kind(user: User) -> dict[str, int]:
    """What is left of the user's credits, by the kind of their grants."""
    balance = user.get("/api/v1/credits/balance")
    left: dict[str, int] = {}
    for grant in balance["grants"]:
        left[grant["kind"]] = left.get(grant["kind"], 0) + grant["remaining_millicredits"]
    assert sum(left.values()) == balance["available_millicredits"]
    return {kind: amount // CREDIT for kind, amount in left.items() if amount}


def subscribe(shop: Shop, user: User) -> Any:
    """A plan that is paid for, its trial over."""
    shop.pay(shop.open_checkout(user, plan="starter", interval="month"))
    wait_for_plan(user, "starter", "on_trial")
    shop.press("renew", shop.subscription_of(user))
    return wait_for_plan(user, "starter", "active")
