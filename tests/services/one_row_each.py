"""One row of one user in every table that has tenants."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class Owned:
    """The user, and the ids of what is theirs."""

    user_id: UUID = field(default_factory=uuid4)
    board_id: UUID = field(default_factory=uuid4)
    image_id: UUID = field(default_factory=uuid4)
    session_id: UUID = field(default_factory=uuid4)
    other_id: UUID = field(default_factory=uuid4)

    def values(self) -> dict[str, Any]:
        return {
            "user": self.user_id,
            "board": self.board_id,
            "image": self.image_id,
            "session": self.session_id,
            "id": self.other_id,
        }


# In an order that foreign keys allow. The casts let one set of values serve every statement.
ONE_ROW_EACH = {
    "identity.users": """
        INSERT INTO identity.users (id, email, display_name, password_hash, created_at)
        VALUES (:user, CAST(:user AS uuid) || '@example.com', 'Ada', '-', now())""",
    "identity.sessions": """
        INSERT INTO identity.sessions (id, user_id, created_at, refreshed_at)
        VALUES (:session, :user, now(), now())""",
    "identity.refresh_tokens": """
        INSERT INTO identity.refresh_tokens
            (token_hash, user_id, session_id, created_at, expires_at)
        VALUES (sha256('x'), :user, :session, now(), now())""",
    "identity.pending_registrations": """
        INSERT INTO identity.pending_registrations
            (token_hash, user_id, email, display_name, password_hash, created_at, expires_at)
        VALUES (sha256('x'), :user, 'ada@example.com', 'Ada', '-', now(), now())""",
    "identity.identities": """
        INSERT INTO identity.identities
            (id, user_id, provider, subject, email, created_at, last_used_at)
        VALUES (:id, :user, 'google', '1', 'ada@example.com', now(), now())""",
    "identity.password_resets": """
        INSERT INTO identity.password_resets (user_id, token_hash, created_at, expires_at)
        VALUES (:user, sha256('x'), now(), now())""",
    "identity.erasures": """
        INSERT INTO identity.erasures (id, user_id, requested_at, next_try_at)
        VALUES (:id, :user, now(), now())""",
    "identity.exports": """
        INSERT INTO identity.exports (id, user_id, requested_at, next_try_at)
        VALUES (:id, :user, now(), now())""",
    "credits.accounts": """
        INSERT INTO credits.accounts (user_id, opened_at) VALUES (:user, now())""",
    "credits.grants": """
        INSERT INTO credits.grants (id, user_id, key, kind, amount, created_at)
        VALUES (:id, :user, 'k', 'admin', 5, now())""",
    "credits.pockets": """
        INSERT INTO credits.pockets (grant_id, pocket, pockets, user_id, remaining, created_at)
        VALUES (:id, 0, 1, :user, 5, now())""",
    "credits.holds": """
        INSERT INTO credits.holds (id, user_id, amount, grant_ids, pockets, parts, created_at)
        VALUES (:id, :user, 5, ARRAY[CAST(:id AS uuid)], '{0}', '{5}', now())""",
    "credits.transfers": """
        INSERT INTO credits.transfers (user_id, kind, grant_id, amount, reference, created_at)
        VALUES (:user, 'grant', :id, 5, :id, now())""",
    "ops.audit_log": """
        INSERT INTO ops.audit_log (actor, action, subject, user_id)
        VALUES ('admin:x', 'credits.granted', 'x', :user)""",
    "credits.reversals": """
        INSERT INTO credits.reversals (id, user_id) VALUES (:id, :user)""",
    "credits.spend_caps": """
        INSERT INTO credits.spend_caps (user_id, key_id, period, millicredits)
        VALUES (:user, :id, 'day', 5)""",
    "gallery.images": """
        INSERT INTO gallery.images (id, user_id, job_id, object_key, thumbnail_key, format, width,
            height, size_bytes, seed, model, prompt, negative_prompt, parameters, manifest,
            created_at)
        VALUES (:image, :user, :id, 'k', 't', 'png', 64, 64, 1, 7, 'demo', 'secret', '',
            '{}', '{}', now())""",
    "gallery.uploads": """
        INSERT INTO gallery.uploads (id, user_id, content_type, size_bytes, created_at, expires_at)
        VALUES (:id, :user, 'image/png', 1, now(), now() + interval '1 hour')""",
    "gallery.boards": """
        INSERT INTO gallery.boards (id, user_id, name, created_at)
        VALUES (:board, :user, 'Fruit', now())""",
    "gallery.board_images": """
        INSERT INTO gallery.board_images (user_id, board_id, image_id)
        VALUES (:user, :board, :image)""",
    "models.models": """
        INSERT INTO models.models (id, user_id, slug, name, type, base, description,
            default_width, default_height, max_side, default_steps, default_guidance)
        VALUES (:id, :user, 'private', 'Private', 'lora', 'sd15', '', 512, 512, 512, 20, 5)""",
    "generation.jobs": """
        INSERT INTO generation.jobs
            (id, user_id, tier, pool, model, base, request, quoted_millicredits, due)
        VALUES (:id, :user, 'free', 'standard', 'demo', 'demo', '{}', 1000, false)""",
    "generation.flows": """
        INSERT INTO generation.flows (pool, tier, user_id)
        VALUES ('premium', 'studio', :user)""",
    "generation.leases": """
        INSERT INTO generation.leases (job_id, user_id, pool, tier, attempt, worker, until)
        VALUES (:id, :user, 'standard', 'free', 1, 'w', now())""",
    "webhooks.endpoints": """
        INSERT INTO webhooks.endpoints (id, user_id, url, events, created_at)
        VALUES (:id, :user, 'https://hooks.example.com', '{image.created}', now())""",
    "webhooks.secrets": """
        INSERT INTO webhooks.secrets (id, user_id, endpoint_id, secret, created_at)
        VALUES (:id, :user, :id, 'whsec_', now())""",
    "webhooks.deliveries": """
        INSERT INTO webhooks.deliveries
            (id, user_id, endpoint_id, message_id, type, body, next_try_at, created_at)
        VALUES (:id, :user, :id, :id, 'image.created', '{}', now(), now())""",
    "billing.inbox": """
        INSERT INTO billing.inbox
            (id, event_name, subject, body, body_sha256, received_at, user_id, next_try_at)
        VALUES (:id, 'order_created', 'orders:1', '{}', sha256('{}'), now(), :user, now())""",
    "billing.observations": """
        INSERT INTO billing.observations
            (provider_id, content_sha256, user_id, observed_at, customer_id, order_id, user_email,
            status, variant_id, tier, interval, provider_created_at, provider_updated_at)
        VALUES ('1', sha256('1'), :user, now(), '1', '1', 'ada@example.com', 'active', '1011',
            'pro', 'month', now(), now())""",
    "billing.subscriptions": """
        INSERT INTO billing.subscriptions
            (id, user_id, provider_id, customer_id, order_id, user_email, status, variant_id, tier,
            interval, entitled_tier, provider_created_at, provider_updated_at)
        VALUES (:id, :user, '1', '1', '1', 'ada@example.com', 'active', '1011', 'pro', 'month',
            'pro', now(), now())""",
    "billing.invoices": """
        INSERT INTO billing.invoices
            (provider_id, user_id, subscription_id, billing_reason, status, total_cents,
            refunded_cents, currency, created_at, provider_updated_at)
        VALUES ('1', :user, '1', 'initial', 'paid', 7500, 0, 'USD', now(), now())""",
    "billing.orders": """
        INSERT INTO billing.orders
            (provider_id, user_id, customer_id, variant_id, pack, status, total_cents,
            refunded_cents, currency, created_at, provider_updated_at)
        VALUES ('1', :user, '1', '2001', 'small', 'paid', 600, 0, 'USD', now(), now())""",
    "billing.take_backs": """
        INSERT INTO billing.take_backs (grant_key, source, user_id, asked)
        VALUES ('k', 'invoices:1', :user, 5)""",
    "ops.entitlements": """
        INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, 'pro')""",
    "ops.emails": """
        INSERT INTO ops.emails
            (key, user_id, recipient, subject, text, created_at, next_try_at)
        VALUES ('k', :user, 'ada@example.com', 'Hello', 'Hi', now(), now())""",
    "ops.api_keys": """
        INSERT INTO ops.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at)
        VALUES (:id, :user, 'script', 'ek_abcdef', sha256('x'), '{images:read}', now())""",
    "ops.idempotency_keys": """
        INSERT INTO ops.idempotency_keys
            (user_id, operation, key, request_hash, status, headers, body)
        VALUES (:user, 'o', 'k', 'h', 200, '{}', '{}')""",
}


def insertion(table: str, owned: Owned) -> tuple[TextClause, dict[str, Any]]:
    """The statement that inserts the user's row into a table, and its values."""
    statement = ONE_ROW_EACH[table]
    used = {name: value for name, value in owned.values().items() if f":{name}" in statement}
    return text(statement), used


async def fill(session: AsyncSession, owned: Owned) -> None:
    """Insert one row of the user into every tenant table."""
    for table in ONE_ROW_EACH:
        await session.execute(*insertion(table, owned))
