"""Settings of the whole test suite."""

import os

from hypothesis import HealthCheck, settings

# A first example compiles, the next ones do not: a deadline would only measure numba. numba's on-disk cache stays off
# in tests: it looks at the file of the cached function alone, so an edit elsewhere would test old machine code.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, max_examples=100, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
