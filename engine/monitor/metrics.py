"""A live run's structs as Prometheus metrics: what there is, one by one, in `METRICS`.

Read while the loop goes on, as everything of a `Snapshot`: what belongs together is copied until two reads agree. What
was half-written and led nowhere is left out of that answer and counted, and the others are told.

Labels have the names of the configuration and of the code's own enumerations, so there are no more series than those.
The last run's figures stay as it left them until there is another; `crosswire_up` is 0 meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from crosswire.engine.monitor.snapshot import Snapshot, settled
from crosswire.engine.monitor.watch import Watch
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.histogram import Histogram, bucket_bounds_ns, middle_sum_ns

Value = tuple[Sequence[str], float | Histogram]  # of the labels; and the value
# Bounds of the buckets that are told, one an octave from 64 ns to 69 s; the struct's own are eight an octave.
OCTAVES = range(6, 37)
UNREADABLE = (IndexError, ValueError, OverflowError, ArithmeticError, AssertionError)


class Kind(StrEnum):
    """What Prometheus makes of a number. A counter's name ends in `_total`."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric of a run: how it is called, and how it is read."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str  # with the unit where the name does not say it
    read: Callable[[Snapshot], Iterable[Value]]


Told = tuple[Metric, Iterable[Value]]


def nothing(_run: Snapshot) -> Iterable[Value]:
    """Read nothing of a run: the monitor says it itself."""
    return ()


UP = Metric("crosswire_up", Kind.GAUGE, (), "1: a run of the name is traded now.", nothing)


class Collector:
    """Makes the families of one scrape; prometheus_client writes them out."""

    def __init__(self, watch: Watch, metrics: Sequence[Metric], own: Callable[[], Iterable[Told]]) -> None:
        """Tell `metrics` of the run that `watch` has, and what the monitor itself counts."""
        self.watch, self.metrics, self.own = watch, metrics, own
        self.unreadable = 0  # metrics left out of an answer

    def collect(self) -> Iterator[Family]:
        """Give every metric with its values as they are now."""
        with self.watch.lock:  # the run stays mapped meanwhile
            families = list(self._of_run())
        yield from families
        for metric, values in self.own():
            yield family_of(metric, values)

    def _of_run(self) -> Iterator[Family]:
        snapshot = self.watch.snapshot
        is_alive = snapshot is not None and snapshot.run.is_alive()
        yield family_of(UP, [((), float(is_alive))])
        for metric in self.metrics if snapshot is not None else ():
            assert snapshot is not None
            try:
                yield family_of(metric, list(metric.read(snapshot)))
            except UNREADABLE:
                self.unreadable += 1


def render(collector: Collector) -> bytes:
    """Write everything in Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


def family_of(metric: Metric, values: Iterable[Value]) -> Family:
    """Make prometheus_client's family of one metric."""
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in values:
            assert isinstance(value, Histogram)
            family.add_metric(labels, *buckets_of(value))
        return family
    cls = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = cls(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)  # type: ignore[arg-type]  # one number
    return family


def buckets_of(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Sum a histogram's buckets up to each octave, bounds in s; and all that it counted, by the middles of buckets.

    The sum is within 6 %: the struct keeps buckets of an eighth of an octave, and none for it.
    """
    copy = settled(histogram)
    counts = bucket_bounds_ns(copy)
    buckets, told, place = [], 0, 0
    for octave in OCTAVES:
        bound_ns = (1 << octave) - 1
        while place < len(counts) and counts[place][0] <= bound_ns:
            told += counts[place][1]
            place += 1
        buckets.append((repr(bound_ns / NS_PER_S), float(told)))
    total = sum(count for _, count in counts)
    buckets.append(("+Inf", float(total)))
    return buckets, middle_sum_ns(copy) / NS_PER_S
