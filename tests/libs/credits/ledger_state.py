"""What the database says of some users' ledger."""

from sqlalchemy import text

OPEN = text("SELECT key, remaining FROM credits.open_grants WHERE user_id = ANY(:users)")
HELD = text("SELECT id, amount FROM credits.holds WHERE user_id = ANY(:users)")
PARTS = text(
    "SELECT t.reference, g.key, t.amount FROM credits.transfers t JOIN credits.grants g"
    " ON g.id = t.grant_id WHERE t.kind = 'hold' AND t.reference = ANY(:holds) ORDER BY t.part"
)
UNBALANCED = text(
    "SELECT transfer_id FROM credits.postings WHERE user_id = ANY(:users)"
    " GROUP BY transfer_id HAVING sum(amount) <> 0"
)
ACCOUNTS = text(
    "SELECT account, sum(amount) AS balance FROM credits.postings"
    " WHERE user_id = ANY(:users) GROUP BY account"
)
