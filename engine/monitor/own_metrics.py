"""What the monitor counts of itself, as metrics beside the run's."""

from collections.abc import Iterator

from crosswire.engine.monitor.endpoint import Endpoint
from crosswire.engine.monitor.metrics import Collector, Kind, Metric, Told, nothing
from crosswire.engine.monitor.server import Server

REFUSED = Metric(
    "crosswire_monitor_refused_total",
    Kind.COUNTER,
    ("reason",),
    "Requests and connections of clients that were refused.",
    nothing,
)
CONNECTIONS = Metric("crosswire_monitor_connections", Kind.GAUGE, (), "Clients that are connected.", nothing)
ANSWERED = Metric("crosswire_monitor_answers_total", Kind.COUNTER, (), "Answers to clients.", nothing)
SCRAPES = Metric(
    "crosswire_scrapes_total",
    Kind.COUNTER,
    ("outcome",),
    "Connections to the metrics' own address, by what became of them; the one at hand is not among them.",
    nothing,
)
PAGE = Metric("crosswire_scrape_longest_seconds", Kind.GAUGE, (), "The longest that one page took to make.", nothing)
UNREADABLE = Metric(
    "crosswire_metrics_unreadable_total",
    Kind.COUNTER,
    (),
    "Metrics that were being written, left out of a page.",
    nothing,
)
OWN_METRICS = (REFUSED, CONNECTIONS, ANSWERED, SCRAPES, PAGE, UNREADABLE)


def own_values(server: Server, endpoint: Endpoint, collector: Collector) -> Iterator[Told]:
    """Give them as they are now."""
    yield REFUSED, [((each.name,), float(each.count)) for each in server.counters()]
    yield CONNECTIONS, [((), float(server.door.connections))]
    yield ANSWERED, [((), float(server.answered))]
    yield SCRAPES, [((outcome,), float(count)) for outcome, count in endpoint.counts.items()]
    yield PAGE, [((), endpoint.page_longest_s)]
    yield UNREADABLE, [((), float(collector.unreadable))]
