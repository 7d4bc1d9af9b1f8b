"""Latency models as a configuration names them, put into the structs that the simulated wires go by.

A recorded file is CSV or Parquet, with a header:

* `latency_us`: values, whose distribution is drawn from; or `quantile` (0 to 1, going up) and `latency_us`.
* `time_ns` (since the epoch, going up) and `feed_latency_us`, `order_latency_us` or `response_latency_us`.
* `req_ts`, `exch_ts`, `resp_ts` in ns: the order latencies of hftbacktest's IntpOrderLatency
  (https://hftbacktest.readthedocs.io/en/latest/latency_models.html). As there the way to the exchange is found by the
  time of the request, the way back by the exchange's.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.nic.duration import NS_PER_MS, NS_PER_US
from crosswire.nic.memory.struct import Array
from crosswire.nic.rings.latency import (
    QUANTILES,
    Latency,
    Load,
    Point,
    set_empirical,
    set_interpolated,
    set_load,
)
from crosswire.venues.adapter import ExchangeSetup
from crosswire.venues.exchange.ring import ExchangeRing
from crosswire.venues.exchange.settings import (
    LATENCY_US_MAX,
    ByLoad,
    Constant,
    Empirical,
    Interpolated,
    LatencyModel,
)

ROUND_TRIP = ("req_ts", "exch_ts", "resp_ts")


def set_model(latency: Latency, way: str, model: LatencyModel, venue: str, folder: Path) -> int:
    """Have `latency` go by `model`; return the constant part in ns, which the wire itself adds.

    ValueError: one line that begins with the key that is wrong.
    """
    key = f"{way}_latency"
    if isinstance(model, Constant):
        return model.us * NS_PER_US
    if isinstance(model, ByLoad):
        set_load(latency, model.ns_per_frame, Load(window_ns=model.window_ms * NS_PER_MS))
        return model.us * NS_PER_US
    if isinstance(model, Empirical):
        columns = read_columns(folder / model.file, key, [("quantile", "latency_us"), ("latency_us",)])
        # Seeded by names, so that neither the order of the venues nor another one changes anything.
        told = f"{venue} {way} {model.seed}".encode()
        seed = int.from_bytes(hashlib.sha256(told).digest()[:8], "little", signed=True)
        set_empirical(latency, quantiles_ns(columns, f"{key}: {model.file}"), seed)
    else:
        assert isinstance(model, Interpolated)
        columns = read_columns(folder / model.file, key, [("time_ns", f"{key}_us"), ROUND_TRIP])
        set_interpolated(latency, points_of(columns, way, f"{key}: {model.file}"))
    return 0


def set_wires(exchange: ExchangeRing, setup: ExchangeSetup) -> None:
    """Give the wires for orders and answers the latencies of the configuration. ValueError as `set_model`."""
    simulation = setup.simulation
    for way, wire, model in (
        ("order", exchange.orders, simulation.order_latency),
        ("response", exchange.answers, simulation.response_latency),
    ):
        wire.latency_ns = set_model(wire.latency, way, model, setup.name, setup.folder)


def read_columns(path: Path, key: str, choices: list[tuple[str, ...]]) -> dict[str, Any]:
    """Read the first of these sets of columns that the file has whole. ValueError: one line."""
    import pyarrow  # takes 0.1 s to import, which other models need not pay

    try:
        table = _read_table(path)
    except FileNotFoundError:
        raise ValueError(f"{key}: {path}: no such file") from None
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{key}: {path}: can't be read as CSV or Parquet: {reason}") from None
    for names in choices:
        if set(names) <= set(table.column_names):
            try:
                return {name: _numbers(table.column(name)) for name in names}
            except (ValueError, pyarrow.ArrowException):
                raise ValueError(f"{key}: {path}: {', '.join(names)} must all be numbers") from None
    wanted = " or ".join(" and ".join(names) for names in choices)
    raise ValueError(f"{key}: {path}: needs the columns {wanted}, has {', '.join(table.column_names)}")


def _read_table(path: Path) -> Any:
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path)
    import pyarrow.csv

    return pyarrow.csv.read_csv(path)


def _numbers(column: Any) -> Any:
    values = column.to_numpy()
    if values.dtype.kind not in "iuf" or not len(values) or not np.isfinite(values).all():
        raise ValueError
    return values


def to_ns(latencies_us: Any, where: str) -> Any:
    """Convert latencies to ns; ValueError if one can't be."""
    if latencies_us.min() < 0 or latencies_us.max() > LATENCY_US_MAX:
        worst = latencies_us.min() if latencies_us.min() < 0 else latencies_us.max()
        raise ValueError(f"{where}: a latency of {worst} us: must be in 0..{LATENCY_US_MAX}")
    return np.rint(latencies_us.astype(np.float64) * NS_PER_US).astype(np.int64)


def quantiles_ns(columns: dict[str, Any], where: str) -> list[int]:
    """Find the quantiles that an empirical model draws between."""
    latencies_ns = to_ns(columns["latency_us"], where)
    places = np.linspace(0.0, 1.0, QUANTILES + 1)
    if "quantile" not in columns:
        return [int(each) for each in np.quantile(latencies_ns, places)]
    quantiles = columns["quantile"]
    if quantiles[0] < 0 or quantiles[-1] > 1 or (np.diff(quantiles) < 0).any() or (np.diff(latencies_ns) < 0).any():
        raise ValueError(f"{where}: quantile and latency_us must go up, quantile from 0 to 1")
    return [int(each) for each in np.interp(places, quantiles, latencies_ns)]


def points_of(columns: dict[str, Any], way: str, where: str) -> Array:
    """Find the points that an interpolated model goes through."""
    if "req_ts" in columns:
        if way == "feed":
            raise ValueError(f"{where}: {', '.join(ROUND_TRIP)} tell no feed latency: needs feed_latency_us")
        start, end = ("req_ts", "exch_ts") if way == "order" else ("exch_ts", "resp_ts")
        times_ns = columns[start]
        latencies_ns = to_ns((columns[end] - times_ns) / NS_PER_US, where)
    else:
        times_ns = columns["time_ns"]
        latencies_ns = to_ns(columns[f"{way}_latency_us"], where)
    if times_ns.dtype.kind == "f" or (np.diff(times_ns) < 0).any():
        raise ValueError(f"{where}: times must be whole nanoseconds that go up")
    points = Point.array(len(times_ns))
    rows = points.numpy()
    rows["time_ns"] = times_ns
    rows["latency_ns"] = latencies_ns
    return points
