"""Give accounts a tier that nobody pays for: `python -m dev.give_tier TIER EMAIL...`.

Plans are sold; no API gives one away. On the local platform it is done as the database's
administrator (EASEL_ADMIN_DATABASE_URL) and written to the audit log, as for `dev.make_admin`.
"""

import asyncio
import os
import sys

from sqlalchemy import text

from libs.audit.log import record
from libs.db.engine import build_engine, build_sessions
from libs.tiers.catalogue import load_catalogue

FIND = text("SELECT id FROM identity.users WHERE email = :email")
PUT = text(
    """
    INSERT INTO ops.entitlements (user_id, tier, updated_at) VALUES (:id, :tier, now())
    ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier, updated_at = excluded.updated_at
    """
)


async def give_tier(admin_url: str, tier: str, emails: list[str]) -> None:
    """All or none. Raises SystemExit where there is no such tier or account."""
    if tier not in {known.name for known in load_catalogue().tiers}:
        raise SystemExit(f"there is no tier {tier}")
    engine = build_engine(admin_url, application="easel-give-tier")
    try:
        async with build_sessions(engine).begin() as session:
            for email in emails:
                user_id = await session.scalar(FIND, {"email": email})
                if user_id is None:
                    raise SystemExit(f"there is no account {email}")
                await session.execute(PUT, {"id": user_id, "tier": tier})
                await record(
                    session,
                    actor="dev.give_tier",
                    action="tier.given",
                    subject=f"user:{user_id}",
                    user_id=user_id,
                    details={"tier": tier},
                )
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(give_tier(os.environ["EASEL_ADMIN_DATABASE_URL"], sys.argv[1], sys.argv[2:]))
