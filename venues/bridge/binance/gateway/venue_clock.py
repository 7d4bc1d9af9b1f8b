"""How far the venue's clock is from ours: requests are signed with its time, and refused if that is wrong.

Of each question for the time, half the round trip is the most that the answer can be off (Cristian 1989); the best of
the last few is believed.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from crosswire.nic.duration import NS_PER_MS

SAMPLES_MAX = 8


class Sample(NamedTuple):
    """One answer to a question for the time."""

    offset_ns: int
    error_ns: int


class VenueClock:
    """One market's clock against ours."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.clock_ns = clock_ns
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self.offset_ns = 0  # added to our clock gives the venue's
        self.error_ns = 0  # within so much

    def learn(self, asked_ns: int, answered_ns: int, venue_ms: int) -> None:
        """Take up an answer: when we asked and had it by our clock, and what the venue said in between."""
        half_ns = (answered_ns - asked_ns) // 2
        self.samples.append(Sample(venue_ms * NS_PER_MS - (asked_ns + half_ns), half_ns + NS_PER_MS))
        best = min(self.samples, key=lambda sample: sample.error_ns)
        self.offset_ns, self.error_ns = best

    def venue_ms(self) -> int:
        """The time by the venue's clock, ms since the epoch."""
        return (self.clock_ns() + self.offset_ns) // NS_PER_MS
