"""The audit of the ledger: questions about every posting, which must all have no answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHECK = text(
    """
    WITH by_grant AS (
        SELECT grant_id, min(user_id::text)::uuid AS user_id, count(DISTINCT user_id) AS owners,
            coalesce(sum(amount) FILTER (WHERE kind = 'grant'), 0) AS issued,
            sum(CASE WHEN kind IN ('grant', 'release') THEN amount
                WHEN kind IN ('hold', 'expire', 'reverse') THEN -amount ELSE 0 END) AS left_over
        FROM credits.transfers GROUP BY grant_id
    ), in_pockets AS (
        SELECT grant_id, min(user_id::text)::uuid AS user_id, sum(remaining)::bigint AS remaining
        FROM credits.pockets GROUP BY grant_id
    ), by_hold AS (
        SELECT reference, min(user_id::text)::uuid AS user_id,
            coalesce(sum(amount) FILTER (WHERE kind = 'hold'), 0) AS held,
            coalesce(sum(amount) FILTER (WHERE kind IN ('capture', 'release')), 0) AS settled
        FROM credits.transfers WHERE kind IN ('hold', 'capture', 'release') GROUP BY reference
    )
    SELECT 'grant: its pockets hold the sum of its postings' AS rule,
        coalesce(p.user_id, t.user_id) AS user_id, coalesce(p.grant_id, t.grant_id) AS subject,
        coalesce(t.left_over, 0)::bigint AS expected, coalesce(p.remaining, 0) AS found
    FROM in_pockets p FULL JOIN by_grant t ON t.grant_id = p.grant_id
    WHERE coalesce(p.remaining, 0) <> coalesce(t.left_over, 0) OR p.user_id <> t.user_id
    UNION ALL
    SELECT 'grant: issued once, in full, to one owner', coalesce(g.user_id, t.user_id), g.id,
        g.amount, coalesce(t.issued, 0)::bigint
    FROM credits.grants g LEFT JOIN by_grant t ON t.grant_id = g.id
    WHERE g.amount IS DISTINCT FROM t.issued OR g.user_id <> t.user_id OR t.owners <> 1
    UNION ALL
    SELECT 'hold: open with its full amount', h.user_id, h.id, h.amount,
        (coalesce(t.held, 0) - coalesce(t.settled, 0))::bigint
    FROM credits.holds h LEFT JOIN by_hold t ON t.reference = h.id
    WHERE t.held IS DISTINCT FROM h.amount OR t.settled <> 0 OR h.user_id <> t.user_id
        OR h.amount <> (SELECT sum(part) FROM unnest(h.parts) part)
    UNION ALL
    SELECT 'hold: captured and released add up to it', t.user_id, t.reference, t.held::bigint,
        t.settled::bigint
    FROM by_hold t LEFT JOIN credits.holds h ON h.id = t.reference
    WHERE h.id IS NULL AND t.held <> t.settled
    """
)


@dataclass(frozen=True)
class Finding:
    """A rule that does not hold: for whom, for which grant or hold, in milli-credits."""

    rule: str
    user_id: UUID
    subject: UUID
    expected: int
    found: int | None


async def ledger_check(session: AsyncSession) -> Sequence[Finding]:
    """Everything in the ledger that does not add up: must be empty.

    Sees what the session's row security shows: one tenant, or everybody for the billing role.
    """
    rows = (await session.execute(CHECK)).all()
    return [Finding(r.rule, r.user_id, r.subject, r.expected, r.found) for r in rows]
