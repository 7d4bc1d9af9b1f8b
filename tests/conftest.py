"""Settings of the whole test suite."""

import os

from hypothesis import HealthCheck, settings

from crosswire.nic.unit.call import compile_calls

# What a test calls is machine code, as it is in the loop. It comes from the store that runs use, too, so that only what
# has changed is compiled.
compile_calls()

# A first example compiles, the next ones do not: a deadline would only measure that.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, max_examples=100, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
