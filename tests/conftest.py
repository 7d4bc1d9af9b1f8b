"""Settings of the whole test suite."""

import os

import pytest
from hypothesis import HealthCheck, settings

from crosswire.nic.unit.call import compile_calls

# What a test calls is machine code, as it is in the loop. It comes from the store that runs use, too, so that only what
# has changed is compiled.
compile_calls()

# A first example compiles, the next ones do not: a deadline would only measure that.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, max_examples=100, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# The files that wait longest begin first: at the end one worker would wait for the other.
FIRST = ("test_live.py", "test_starbase_wire.py", "test_leaving.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `FIRST` before the others, which keep their order."""
    items.sort(key=lambda item: item.path.name not in FIRST)
