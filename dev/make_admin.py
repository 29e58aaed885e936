"""Give an account the role of an operator: `python -m dev.make_admin EMAIL`.

No service may do this: it is done as the database's administrator (EASEL_ADMIN_DATABASE_URL) and
written to the audit log. The role is in the tokens of the next login.
"""

import asyncio
import os
import sys

from sqlalchemy import text

from libs.audit.log import record
from libs.db.engine import build_engine, build_sessions

PROMOTE = text("UPDATE identity.users SET role = 'admin' WHERE email = :email RETURNING id")


async def make_admin(admin_url: str, email: str) -> None:
    """Raises SystemExit where there is no such account."""
    engine = build_engine(admin_url, application="easel-make-admin")
    try:
        async with build_sessions(engine).begin() as session:
            user_id = await session.scalar(PROMOTE, {"email": email})
            if user_id is None:
                raise SystemExit(f"there is no account {email}")
            await record(
                session,
                actor="dev.make_admin",
                action="user.role_changed",
                subject=f"user:{user_id}",
                user_id=user_id,
                details={"role": "admin"},
            )
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(make_admin(os.environ["EASEL_ADMIN_DATABASE_URL"], sys.argv[1]))
