"""Whether the captures of a run's venues tell of the same time: markets that never meet can't be traded between."""

from collections.abc import Mapping
from itertools import combinations

from crosswire.engine.report.text import time_text
from crosswire.nic.warning import DataWarning

Spans = Mapping[str, tuple[int, int]]  # by venue: times of its captures' first and last record, ns
APART = "pairs of venues whose captures do not overlap in time"


def apart_warnings(spans: Spans) -> list[DataWarning]:
    """Tell which venues have captures of different times, if any have."""
    pairs = _apart(spans)
    if not pairs:
        return []
    return [
        DataWarning(
            kind=APART,
            count=len(pairs),
            first_place=" and ".join(_span_text(spans, name) for name in pairs[0]),
            what_to_do="nothing could happen between them; give captures of the same time, or correct clock_offset_ms",
        )
    ]


def why_apart(spans: Spans) -> str:
    """Say that no venue's captures overlap another's; "" if some do, or if there is only one venue that has any."""
    if len(spans) < 2 or len(_apart(spans)) < len(spans) * (len(spans) - 1) // 2:
        return ""
    each = "; ".join(_span_text(spans, name) for name in spans)
    return f"no two venues have captures of the same time, so nothing could happen between them: {each}"


def _apart(spans: Spans) -> list[tuple[str, str]]:
    return [
        (one, other)
        for one, other in combinations(spans, 2)
        if max(spans[one][0], spans[other][0]) > min(spans[one][1], spans[other][1])
    ]


def _span_text(spans: Spans, name: str) -> str:
    first_ns, last_ns = spans[name]
    return f"{name} from {time_text(first_ns)} to {time_text(last_ns)}"
