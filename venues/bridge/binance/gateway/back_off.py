"""How long to wait before something is tried again."""

import random

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
JITTER = 0.3


class BackOff:
    """How long to wait before the next attempt: longer after each failure, never the same for two."""

    def __init__(self) -> None:
        self.failures = 0

    def next_s(self) -> float:
        """The wait before the next attempt, s."""
        seconds = BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
        self.failures += 1
        return seconds * random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """Begin anew: it worked."""
        self.failures = 0
