import pytest

from tests.support.starbase_order_setup import Bench


@pytest.fixture
def bench() -> Bench:
    """A session that has logged on at a gateway which the test speaks for."""
    bench = Bench()
    bench.log_on()
    return bench
