"""An engine whose sessions are ready, one for all tests of a module: see `tests/support/order_desk.py`."""

from collections.abc import Iterator

import pytest

from crosswire.engine.build.run import Run
from tests.support.order_desk import OrderDesk, check_accounts, make_run


@pytest.fixture(scope="module")
def desk_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def desk(desk_run: Run) -> Iterator[OrderDesk]:
    """What positions say is open is the sum over the orders, before a test and behind it."""
    desk = OrderDesk(desk_run)
    check_accounts(desk.engine)
    yield desk
    check_accounts(desk.engine)
