from collections.abc import AsyncIterator

import pytest

from tests.libs.webhooks.post_office import PostOffice, SessionsOf


@pytest.fixture
async def office(sessions: SessionsOf) -> AsyncIterator[PostOffice]:
    """Nothing is queued yet."""
    opened = PostOffice(sessions)
    yield opened
    await opened.client.close()
