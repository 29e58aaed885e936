import pytest

from tests.isolation.cast import Cast, make_cast
from tests.stack.fixture import stack
from tests.stack.running import Stack

__all__ = ["stack"]


@pytest.fixture(scope="session")
def cast(stack: Stack) -> Cast:
    """The people of all walks of a pytest process."""
    return make_cast(stack)
