"""How often something may happen: a token bucket on the process's own clock."""

import time


class Bucket:
    """`rate_per_s` tokens come in a second, `burst` at most are there."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self.rate_per_s, self.burst = rate_per_s, burst
        self._tokens = float(burst)
        self._filled_s = time.monotonic()

    def take(self) -> bool:
        """Take a token; False: there is none."""
        now_s = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now_s - self._filled_s) * self.rate_per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
