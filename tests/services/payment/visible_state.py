"""All that a customer, or an auditor, can see of one customer; without ids."""

from typing import Any

from tests.services.payment.till import Till

SHOWN = {
    "billing.subscriptions": "status, tier, entitled_tier, interval, variant_id, trial_ends_at,"
    " renews_at, ends_at, past_due_since, due_at, card_last_four, provider_updated_at",
    "billing.invoices": "billing_reason, status, total_cents, refunded_cents, created_at",
    "billing.orders": "pack, status, total_cents, refunded_cents, created_at",
    "credits.open_grants": "kind, remaining, expires_at",
    "ops.emails": "split_part(key, ':', 1), recipient, subject",
}

QUERY = "SELECT {0} FROM {1} WHERE user_id = :user ORDER BY {0}"
POSTED = {
    "credits.transfers": "kind, amount",
    "credits.holds": "amount",
    "ops.audit_log": "actor, action",
    "billing.take_backs": "split_part(source, ':', 1), asked",
}


async def visible_state(till: Till) -> dict[str, Any]:
    """Tier, credits, plan, payments and e-mails."""
    return {"tier": await till.tier(), **await read(till, SHOWN)}


async def posted_state(till: Till) -> dict[str, Any]:
    """The same, and how it came about: every posting, audit line and task."""
    tasks = "SELECT name FROM ops.outbox WHERE payload -> 'arguments' ->> 'user_id' = :who"
    return {
        **await visible_state(till),
        **await read(till, POSTED),
        "tasks": await till.rows(tasks, who=str(till.user_id)),
    }


async def read(till: Till, tables: dict[str, str]) -> dict[str, Any]:
    """The customer's rows of each table."""
    return {
        table: await till.rows(QUERY.format(columns, table)) for table, columns in tables.items()
    }
