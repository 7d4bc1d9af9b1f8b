"""`[venue.simulation]` as it is written: each model, each mistake in one line."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from crosswire.nic.rings.latency import Latency, Load, latency_at, note_frame
from crosswire.venues.exchange.latencies import set_model
from crosswire.venues.exchange.settings import (
    ByLoad,
    Constant,
    Empirical,
    Interpolated,
    Measured,
    SimulationConfig,
)

PLAIN = {
    "order_latency": {"model": "constant", "us": 500},
    "response_latency": {"model": "constant", "us": 400},
    "orders_per_second": 10,
    "burst": 5,
}


def simulation(**changes: Any) -> SimulationConfig:
    raw = {key: value for key, value in (PLAIN | changes).items() if value is not None}
    return msgspec.convert(raw, SimulationConfig)


def refusal(**changes: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        simulation(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_market_data_is_measured_unless_said_otherwise() -> None:
    assert simulation().feed_latency == Measured(max_ms=1_000)
    assert simulation(feed_latency="measured") == simulation()
    assert simulation(feed_latency={"model": "measured", "max_ms": 50}).feed_latency == Measured(max_ms=50)


@pytest.mark.parametrize("way", ["feed", "order", "response"])
def test_each_way_takes_each_model(way: str) -> None:
    for raw, model in (
        ({"model": "constant", "us": 7}, Constant(us=7)),
        ({"model": "empirical", "file": "a.csv"}, Empirical(file="a.csv", seed=1)),
        ({"model": "empirical", "file": "a.csv", "seed": 9}, Empirical(file="a.csv", seed=9)),
        ({"model": "interpolated", "file": "b.parquet"}, Interpolated(file="b.parquet")),
        ({"model": "load", "us": 1, "ns_per_frame": 2, "window_ms": 3}, ByLoad(us=1, ns_per_frame=2, window_ms=3)),
    ):
        made = simulation(**{f"{way}_latency": raw})
        assert getattr(made, f"{way}_latency") == model
        assert msgspec.structs.replace(made, burst=6).burst == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"feed_latency": "mesured"},
            'model = "mesured": must be one of measured, constant, empirical',
        ),
        ({"feed_latency": {"us": 3}}, "feed_latency: model is missing: must be one of measured, constant"),
        ({"feed_latency": {"model": "constant"}}, "feed_latency: object missing required field `us`"),
        ({"feed_latency": {"model": "constant", "us": -3}}, "feed_latency: us = -3: expected `int` >= 0"),
        ({"feed_latency": {"model": "constant", "us": 1, "ms": 1}}, "unknown field `ms`"),
        ({"feed_latency": {"model": "measured", "max_ms": 0}}, "max_ms = 0: expected `int` >= 1"),
        ({"order_latency": None}, 'order_latency is missing: write it as order_latency = { model = "constant", us = '),
        ({"order_latency": 500}, 'order_latency = 500: must be a table, as { model = "constant", us = 500 }'),
        ({"order_latency": "measured"}, 'order_latency: model = "measured": no wire tells it; write another, as'),
        (
            {"feed_latency_us": 300},
            'feed_latency_us is no key: write feed_latency = { model = "constant", us = 300 }, or "measured"',
        ),
        (
            {"order_latency_us": 500, "order_latency": None},
            'order_latency_us is no key: write order_latency = { model = "constant", us = 500 }',
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(**changes)


def made(way: str, model: Any, folder: Path, venue: str = "here") -> Latency:
    latency = Latency()
    set_model(latency, way, model, venue, folder)
    return latency


def test_a_distribution_is_read_as_values_or_as_quantiles(tmp_path: Path) -> None:
    values = [100 + 3 * number**2 for number in range(101)]
    (tmp_path / "values.csv").write_text("latency_us\n" + "\n".join(map(str, values)))
    rows = [f"{number / 100},{value}" for number, value in enumerate(values)]
    (tmp_path / "quantiles.csv").write_text("quantile,latency_us\n" + "\n".join(rows))
    by_values = made("order", Empirical(file="values.csv"), tmp_path)
    by_quantiles = made("order", Empirical(file="quantiles.csv"), tmp_path)
    assert np.abs(by_values.quantiles_ns.numpy() - by_quantiles.quantiles_ns.numpy()).max() <= 1  # rounding
    assert by_values.quantiles_ns[512] == values[50] * 1_000
    draws = [latency_at(by_values, 0, number) for number in range(2_000)]
    assert np.median(draws) == pytest.approx(values[50] * 1_000, rel=0.1)


def test_draws_differ_by_venue_way_and_seed_alone(tmp_path: Path) -> None:
    (tmp_path / "values.csv").write_text("latency_us\n1\n1000\n")

    def digest(way: str, venue: str, seed: int) -> str:
        latency = made(way, Empirical(file="values.csv", seed=seed), tmp_path, venue)
        return hashlib.sha256(repr([latency_at(latency, 0, number) for number in range(50)]).encode()).hexdigest()

    different = {digest(way, venue, seed) for way in ("order", "response") for venue in ("a", "b") for seed in (1, 2)}
    assert len(different) == 8
    assert digest("order", "a", 1) == digest("order", "a", 1)


def test_recorded_latencies_are_interpolated(tmp_path: Path) -> None:
    (tmp_path / "trips.csv").write_text(
        "time_ns,order_latency_us,response_latency_us\n1000000,100,10.5\n2000000,200,20\n"
    )
    order = made("order", Interpolated(file="trips.csv"), tmp_path)
    assert [latency_at(order, time_ns, 0) for time_ns in (0, 1_000_000, 1_500_000, 9_000_000)] == [
        100_000, 100_000, 150_000, 200_000,
    ]  # fmt: skip
    response = made("response", Interpolated(file="trips.csv"), tmp_path)
    assert latency_at(response, 1_000_000, 0) == 10_500


def test_hftbacktests_order_latencies_are_read(tmp_path: Path) -> None:
    """The two rows of its own documentation, as Parquet."""
    import pyarrow
    import pyarrow.parquet

    rows = {
        "req_ts": [1670026844751525000, 1670026845754020000],
        "exch_ts": [1670026844759000000, 1670026845762000000],
        "resp_ts": [1670026844762122000, 1670026845770003000],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "trips.parquet")
    order = made("order", Interpolated(file="trips.parquet"), tmp_path)
    response = made("response", Interpolated(file="trips.parquet"), tmp_path)
    assert latency_at(order, rows["req_ts"][0], 0) == 7_475_000
    assert latency_at(order, rows["req_ts"][1], 1) == 7_980_000
    assert latency_at(response, rows["exch_ts"][0], 0) == 3_122_000
    assert latency_at(response, rows["exch_ts"][1], 1) == 8_003_000


def test_load_comes_on_top_of_the_constant(tmp_path: Path) -> None:
    latency = Latency()
    assert set_model(latency, "order", ByLoad(us=5, ns_per_frame=40, window_ms=1), "here", tmp_path) == 5_000
    load: Load = latency.load[0]
    assert load.window_ns == 1_000_000
    for time_ns in (0, 10, 20):
        note_frame(latency, time_ns)
    assert latency_at(latency, 30, 0) == 120


@pytest.mark.parametrize(
    ("text", "model", "said"),
    [
        (None, Empirical(file="x.csv"), "no such file"),
        ("latency_us\n", Empirical(file="x.csv"), "latency_us must all be numbers"),
        ("latency_us\nfast\n", Empirical(file="x.csv"), "latency_us must all be numbers"),
        ("latency_us\n-1\n", Empirical(file="x.csv"), "a latency of -1 us: must be in 0..60000000"),
        ("value\n1\n", Empirical(file="x.csv"), "needs the columns quantile and latency_us or latency_us, has value"),
        ("quantile,latency_us\n0.5,2\n0.1,1\n", Empirical(file="x.csv"), "must go up"),
        ("quantile,latency_us\n50,1\n90,2\n", Empirical(file="x.csv"), "quantile from 0 to 1"),
        ("time_ns,order_latency_us\n5,1\n4,1\n", Interpolated(file="x.csv"), "times must be whole nanoseconds that go"),
        (
            "time_ns,feed_latency_us\n5,1\n",
            Interpolated(file="x.csv"),
            "needs the columns time_ns and order_latency",
        ),
        ("req_ts,exch_ts,resp_ts\n5,4,9\n", Interpolated(file="x.csv"), "must be in 0..60000000"),
        ("", Empirical(file="x.csv"), "can't be read as CSV or Parquet"),
        ("PAR1", Empirical(file="x.csv"), "can't be read as CSV or Parquet"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_one_line(tmp_path: Path, text: str | None, model: Any, said: str) -> None:
    if text is not None:
        (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match="order_latency: ") as caught:
        made("order", model, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert said in message
