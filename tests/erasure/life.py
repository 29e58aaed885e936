"""Somebody with content everywhere, made through the APIs of all services; each has a mark."""

import io
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.testkit.lemon_squeezy.books import sign
from libs.triton.contract import Checkpoint
from services.generation.models import Job
from services.generation.repository import leases
from services.generation.schemas import ResolvedRequest
from services.generation.service.checkpoints import Keeper
from services.generation.service.drawn import Drawing
from services.generation.service.endings import finish_job
from services.generation.service.storing import store_image
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending
from tests.stack.people import bearer, from_somewhere
from tests.stack.running import WEBHOOKS, Stack

PASSWORD = "correct horse battery"
TOKEN = re.compile(r"#token=([A-Za-z0-9_-]+)")
LETTER = "SELECT text FROM ops.emails WHERE recipient = :address ORDER BY id DESC LIMIT 1"
REST = """
    UPDATE generation.jobs SET due_at = now() + interval '1 hour'
    WHERE state = 'queued' AND user_id <> :user
"""
ADD_IDENTITY = """
    INSERT INTO identity.identities
        (id, user_id, provider, subject, email, created_at, last_used_at)
    VALUES (:id, :user, 'google', :subject, :email, now(), now())
"""
ADD_MODEL = """
    INSERT INTO models.models (id, user_id, slug, name, type, base, description, default_width,
        default_height, max_side, default_steps, default_guidance)
    VALUES (:id, :user, :slug, :name, 'lora', 'sd15', :name, 512, 512, 512, 20, 5)
"""


@dataclass
class Life:
    """One person: what marks all that is theirs, and how they log in."""

    stack: Stack = field(repr=False)
    mark: str = field(default_factory=lambda: f"mark{secrets.token_hex(8)}")
    id: UUID = UUID(int=0)
    token: str = field(default="", repr=False)

    @property
    def email(self) -> str:
        return f"{self.mark}@example.com"

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)

    def call(self, service: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What a request answers, which succeeds."""
        named = {**self.headers, **headers} if self.token else {**from_somewhere(), **headers}
        answer = self.stack.call(service, method, path, headers=named, body=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def sign_up(self) -> None:
        """An account whose address is confirmed; a second registration and a forgotten password
        leave letters and a request."""
        credentials = {"email": self.email, "password": PASSWORD}
        asked = {**credentials, "display_name": f"Ada {self.mark}"}
        for _ in range(2):
            self.call("user", "POST", "/api/v1/auth/register", asked)
        ((letter,),) = self.stack.sql(LETTER, address=self.email)
        (token,) = TOKEN.findall(letter)
        self.call(
            "user", "POST", "/api/v1/auth/email/verify", {"token": token, "password": PASSWORD}
        )
        self.call("user", "POST", "/api/v1/auth/register", asked)
        self.call("user", "POST", "/api/v1/auth/password/forgot", {"email": self.email})
        self.log_in()
        self.id = UUID(self.call("user", "GET", "/api/v1/users/me")["id"])
        self.stack.sql(ADD_IDENTITY, id=new_id(), user=self.id, subject=self.mark, email=self.email)

    def log_in(self) -> None:
        """A login of this moment, on a device with a mark."""
        self.token = ""
        credentials = {"email": self.email, "password": PASSWORD}
        device = {"User-Agent": f"Browser {self.mark}"}
        answer = self.call("user", "POST", "/api/v1/auth/login", credentials, **device)
        self.token = answer["access_token"]

    def subscribe(self) -> None:
        """The pro plan and a pack of credits, bought at the provider, who tells of it."""
        for order in ({"plan": "pro", "interval": "month"}, {"pack": "small"}):
            page = self.call("payment", "POST", "/api/v1/payments/checkout", order)
            self.stack.run(self.pay(page["checkout_url"]))

    async def pay(self, url: str) -> None:
        await self.stack.provider.pay(url)
        await self.stack.provider.idle()
        await self.apply_webhooks()

    async def apply_webhooks(self) -> None:
        """What the provider told is applied."""
        state = self.stack.apps["payment"].state
        await apply_pending(Desk(state.billing_sessions, state.shelf, state.clock))

    def receive_odd_webhooks(self) -> None:
        """One that nobody handles and names the user, and one that names the address alone."""
        of_user = {"event_name": "license_key_created", "custom_data": {"user_id": str(self.id)}}
        for meta, kind, number in (
            (of_user, "license-keys", secrets.randbelow(10**9)),
            ({"event_name": "order_created"}, "orders", secrets.randbelow(10**9)),
        ):
            attributes = {"user_email": self.email, "user_name": self.mark}
            data = {"type": kind, "id": str(number), "attributes": attributes}
            body = json.dumps({"meta": meta, "data": data}).encode()
            secret = self.stack.apps["payment"].state.settings.lemon_squeezy_webhook_secret
            answer = self.stack.http.post(
                self.stack.urls["payment"] + WEBHOOKS,
                content=body,
                headers={"X-Signature": sign(secret, body), **from_somewhere()},
            )
            assert answer.status_code == 200, answer.text
        self.stack.run(self.apply_webhooks())

    def ask_for_a_picture(self) -> str:
        """A job that waits; its answer is kept for a repeated request."""
        wanted = {
            "model": "demo",
            "prompt": f"a red apple {self.mark}",
            "negative_prompt": f"not {self.mark}",
            "width": 64,
            "height": 64,
            "steps": 4,
            "metadata": {"note": self.mark},
        }
        key = {"Idempotency-Key": secrets.token_hex(8)}
        return str(self.call("generation", "POST", "/api/v1/generations", wanted, **key)["id"])

    def be_told(self) -> None:
        """A webhook that hears of all jobs; nothing calls it here."""
        place = {"url": f"https://93.184.215.14/{self.mark}", "description": f"shop {self.mark}"}
        self.call("generation", "POST", "/api/v1/webhooks", place)

    def draw(self) -> str:
        """The picture of the job that waits, as a worker draws and stores it."""
        return self.stack.run(self.finish(self.claim()))

    def claim(self) -> Job:
        """A worker takes one of the jobs; those of others rest."""
        self.stack.sql(REST, user=self.id)
        return self.stack.run(self.take())

    async def take(self) -> Job:
        sessions = self.stack.sessions("worker")
        job = None
        for pool in ("premium", "standard"):
            async with sessions.begin() as session:
                job = job or await leases.claim_next(session, pool=pool, worker="test")
        assert job is not None and job.user_id == self.id
        return job

    async def finish(self, job: Job) -> str:
        sessions = self.stack.sessions("worker")
        drawing = Drawing(job, ResolvedRequest.model_validate(job.request))
        pixels = np.zeros((64, 64, 3), np.uint8)
        record = await store_image(self.stack.store, drawing, 0, pixels, {})
        async with transaction(sessions, self.id) as session:
            await finish_job(session, job, "succeeded", captured=1_000, images=[record])
        return str(record.id)

    async def keep_checkpoint(self, job_id: str) -> None:
        """What a worker that had to stop left of a picture."""
        job = Job(id=UUID(job_id), user_id=self.id, attempt=1)
        keeper = Keeper(self.stack.store, job)
        keeper.offer(0, Checkpoint(step=1, steps=4, body=self.mark.encode()))
        await keeper.store_newest()

    def upload(self) -> str:
        """A picture of their own, whose file has a mark."""
        info, file = PngInfo(), io.BytesIO()
        info.add_text("Comment", self.mark)
        Image.new("RGB", (64, 64)).save(file, "PNG", pnginfo=info)
        wish = {"content_type": "image/png", "bytes": len(file.getvalue())}
        begun = self.call("gallery", "POST", "/api/v1/images/uploads", wish)
        target = begun["upload"]
        sent = self.stack.http.put(
            target["url"], content=file.getvalue(), headers=target["headers"]
        )
        assert sent.is_success, sent.text
        return str(begun["id"])

    def fill(self) -> None:
        """Content in every service."""
        self.sign_up()
        self.subscribe()
        self.log_in()  # a token of the new plan
        self.receive_odd_webhooks()
        name = {"name": f"key {self.mark}", "scopes": ["images:read"]}
        self.call("user", "POST", "/api/v1/api-keys", name)
        cap = {"period": "month", "limit_millicredits": 9_000_000}
        self.call("payment", "PUT", "/api/v1/credits/spend-caps", cap)
        self.be_told()
        self.ask_for_a_picture()
        image = self.draw()
        board = self.call("gallery", "POST", "/api/v1/boards", {"name": f"board {self.mark}"})
        self.call("gallery", "PUT", f"/api/v1/boards/{board['id']}/images/{image}")
        self.call("gallery", "POST", f"/api/v1/images/{self.upload()}/complete")
        self.upload()  # one that is never completed
        slug = {"slug": self.mark, "name": f"Model {self.mark}"}
        self.stack.sql(ADD_MODEL, id=new_id(), user=self.id, **slug)
        self.stack.run(self.keep_checkpoint(self.ask_for_a_picture()))

    def delete(self) -> str:
        """Ask for the end of it all; the erasure's id."""
        self.log_in()
        answer = self.call("user", "DELETE", "/api/v1/users/me", {"confirm": self.email})
        return str(answer["id"])
