"""The Parquet files of a run: every record once, exact, readable, and nothing partial under a final name."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crosswire.engine.report import recorder as recorder_module
from crosswire.engine.report.buffers import make_records
from crosswire.engine.report.recorder import (
    FILLS,
    LOG,
    OPPORTUNITIES,
    ORDERS,
    POSITIONS,
    SERIES,
    TRADES,
    Recorder,
    instrument_info,
    make_instrument,
)
from crosswire.nic.memory.struct import Struct
from crosswire.risk.records import FillRecord, OpportunityRecord, OrderRecord, SampleRecord, TradeRecord
from crosswire.venues.book.book import NO_BID
from crosswire.venues.instrument import cash_flow_e9, notional_e9, position_value_e9
from crosswire.venues.order import OrderState, RejectReason
from crosswire.venues.side import BUY, SELL
from tests.support.synthetic_run import NAMES, START_NS, SyntheticRun, add, inverse, spot


def record(kind: type[Struct], **values: int) -> dict[str, int]:
    """All fields of a record, zero unless given."""
    return dict.fromkeys(kind.fields, 0) | values


def write(directory: Path, buffer: str, rows: list[dict[str, int]]) -> None:
    """A run of the two usual instruments with these records in one buffer."""
    recorder = Recorder(directory, [spot(), inverse()], NAMES)
    records = make_records()
    for row in rows:
        add(getattr(records, buffer), **row)
    recorder.drain(records)
    assert getattr(records, buffer).count == 0
    recorder.close()


def rows_of(directory: Path, name: str) -> list[dict[str, Any]]:
    table = pq.read_table(directory / name)
    return [{column: table.column(column)[row].as_py() for column in table.column_names} for row in range(len(table))]


def test_instrument_info_and_back() -> None:
    info = inverse()
    again = instrument_info(make_instrument(info), "deribit")
    assert again.name == "deribit/BTC-PERPETUAL"
    assert again == info


def test_fills_are_readable_and_exact(tmp_path: Path) -> None:
    linear = record(FillRecord, time_ns=START_NS, side=SELL, price_ticks=6_500_001, qty_lots=3, position_lots=-3)
    linear |= {"decision_ticks": 6_500_651, "fee_e9": 19_500, "trade_id": 4}
    coin = record(
        FillRecord, time_ns=START_NS + 1000, instrument=1, side=BUY, price_ticks=130_001, qty_lots=7, is_maker=1
    )
    write(tmp_path / "run", "fills", [linear, coin])
    sold, bought = rows_of(tmp_path / "run", FILLS)
    assert sold["time"] == datetime(2026, 1, 2, tzinfo=UTC)
    assert (sold["venue"], sold["symbol"], sold["side"]) == ("binance", "BTCUSDT", "sell")
    assert (sold["price"], sold["size"], sold["position"], sold["fee"]) == (65000.01, 0.00003, -0.00003, 0.0000195)
    assert sold["slippage_bps"] == pytest.approx(650 / 6_500_651 * 1e4)
    assert (sold["liquidity"], sold["fee_currency"], sold["size_currency"]) == ("taker", "USDT", "BTC")
    assert (bought["price"], bought["size"], bought["size_currency"]) == (65000.5, 70.0, "USD")
    assert bought["decision_price"] is None
    assert bought["slippage_bps"] is None
    assert bought["exchange_time"] is None
    for given, written, info in ((linear, sold, spot()), (coin, bought, inverse())):
        instrument = make_instrument(info)
        price, lots = given["price_ticks"], given["qty_lots"]
        assert written["notional_e9"] == notional_e9(instrument, price, lots)
        assert written["cash_flow_e9"] == cash_flow_e9(instrument, given["side"], price, lots)
        kept = {name: value for name, value in given.items() if name not in ("side", "strategy")}
        assert {name: written[name] for name in kept} == kept


def test_orders_name_their_end_and_reason(tmp_path: Path) -> None:
    absurd = 1 << 61  # vetoed for its price; in int64 arithmetic it would wrap round to a plausible one
    rows = [
        record(OrderRecord, created_ns=START_NS, state=OrderState.VETOED, reason=12, price_ticks=absurd),
        record(OrderRecord, created_ns=START_NS, state=OrderState.REJECTED, reason=RejectReason.WOULD_TAKE),
        record(OrderRecord, created_ns=START_NS, acked_ns=START_NS + 5, state=OrderState.FILLED, instrument=1),
        record(OrderRecord, created_ns=START_NS, state=OrderState.VETOED, reason=99),
    ]
    write(tmp_path / "run", "orders", rows)
    columns = pq.read_table(tmp_path / "run" / ORDERS)
    assert columns.column("state").to_pylist() == ["vetoed", "rejected", "filled", "vetoed"]
    assert columns.column("reason").to_pylist() == ["order_rate", "would_take", "", "99"]
    assert columns.column("acknowledged").cast(pa.int64()).to_pylist() == [None, None, START_NS + 5, None]
    assert columns.column("price")[0].as_py() == pytest.approx(absurd * 0.01)


def test_samples_are_valued_at_the_last_valid_prices(tmp_path: Path) -> None:
    sample = record(SampleRecord, time_ns=START_NS, instrument=1, valid=1, bid_ticks=130_000, ask_ticks=130_004)
    rows = [
        sample | {"position_lots": 12},
        sample | {"position_lots": -12, "valid": 0, "bid_ticks": 1, "ask_ticks": 2},
        sample | {"position_lots": 5, "bid_ticks": NO_BID},
        record(SampleRecord, time_ns=START_NS, position_lots=9),
    ]
    write(tmp_path / "run", "samples", rows)
    long, short, one_sided, never_priced = rows_of(tmp_path / "run", POSITIONS)
    coin = make_instrument(inverse())
    for written, lots in ((long, 12), (short, -12), (one_sided, 5)):
        at_bid, at_ask = (position_value_e9(coin, price, lots) for price in (130_000, 130_004))
        assert written["value_e9"] == (at_bid + at_ask) // 2
        assert written["base_e9"] == pytest.approx(lots * 10 / 65_001 * 1e9, abs=2)
    assert (long["bid"], long["ask"], long["valid"]) == (65_000.0, 65_002.0, True)
    assert (short["bid"], short["ask"], short["valid"]) == (None, None, False)
    assert (one_sided["bid"], one_sided["ask"]) == (None, 65_002.0)
    assert (never_priced["value_e9"], never_priced["bid"]) == (0, None)


def test_opportunities_and_trades_name_their_legs(tmp_path: Path) -> None:
    seen = record(OpportunityRecord, start_ns=START_NS, end_ns=START_NS + 2_500_000, sell_instrument=1, blocked_by=2)
    write(tmp_path / "seen", "opportunities", [seen | {"peak_edge_e9": 1_250_000_001}])
    (row,) = rows_of(tmp_path / "seen", OPPORTUNITIES)
    assert (row["buy"], row["sell"], row["blocked_by"]) == (
        "binance/BTCUSDT",
        "deribit/BTC-PERPETUAL",
        "position_limit",
    )
    assert (row["duration_ms"], row["peak_edge"], row["peak_edge_e9"]) == (2.5, 1.250000001, 1_250_000_001)
    traded = record(
        TradeRecord, trade_id=3, start_ns=START_NS, buy_instrument=1, outcome=2, miss_cost_e9=-5, unhedged_ns=7
    )
    write(tmp_path / "traded", "trades", [traded])
    (row,) = rows_of(tmp_path / "traded", TRADES)
    assert (row["buy"], row["sell"], row["outcome"]) == ("deribit/BTC-PERPETUAL", "binance/BTCUSDT", "hedged")
    assert (row["miss_cost"], row["unhedged_ms"], row["end"]) == (-5e-9, 7e-6, None)


def test_every_record_once_over_many_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "ROW_GROUP_ROWS", 100)
    recorder = Recorder(tmp_path / "run", [spot(), inverse()], NAMES)
    records = make_records()
    given = []
    for drain in range(10):
        for position in range(37):
            side = (drain + position) % 2
            row = record(FillRecord, time_ns=START_NS + len(given), execution_id=len(given), instrument=drain % 2)
            given.append(row | {"side": side, "price_ticks": 100 + position, "qty_lots": 1 + position})
            add(records.fills, **given[-1])
        recorder.drain(records)
    recorder.close()
    file = pq.ParquetFile(tmp_path / "run" / FILLS)
    assert file.num_row_groups == 3 + 1
    table = file.read()
    for name in ("time_ns", "execution_id", "instrument", "price_ticks", "qty_lots"):
        assert table.column(name).to_pylist() == [row[name] for row in given]
    assert table.column("side").to_pylist() == ["sell" if row["side"] else "buy" for row in given]
    assert table.schema.field("time").type == pa.timestamp("ns", "UTC")


def test_a_run_without_records_leaves_empty_files_of_the_same_columns(tmp_path: Path) -> None:
    empty = Recorder(tmp_path / "empty", [spot()])
    empty.drain(make_records())
    empty.close()
    full = SyntheticRun(tmp_path / "full")
    full.play(120)
    full.finish()
    for name in (FILLS, ORDERS, POSITIONS, OPPORTUNITIES, TRADES):
        without, schema = pq.read_table(empty.directory / name), pq.read_table(full.recorder.directory / name).schema
        assert len(without) == 0
        assert without.schema.equals(schema)


def test_nothing_has_the_final_name_before_it_is_finished(tmp_path: Path) -> None:
    (tmp_path / FILLS).write_text("of an earlier attempt")
    recorder = Recorder(tmp_path, [spot()])
    recorder.drain(make_records())
    assert (tmp_path / FILLS).read_text() == "of an earlier attempt"
    recorder.close()
    assert len(pq.read_table(tmp_path / FILLS)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        (FILLS, ORDERS, POSITIONS, OPPORTUNITIES, TRADES, SERIES, LOG)
    )


def test_instruments_must_be_in_market_order(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="deribit/BTC-PERPETUAL has market index 1"):
        Recorder(tmp_path / "run", [inverse()])


def test_cash_and_position_agree_with_the_engine(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.play(500)
    run.finish()
    fills = pq.read_table(run.recorder.directory / FILLS)
    index = fills.column("instrument").to_numpy()
    for info, position in zip(run.instruments, run.positions, strict=True):
        own = index == info.index
        assert np.count_nonzero(own) > 5
        assert int(fills.column("cash_flow_e9").to_numpy()[own].sum()) == position.cash_e9
        assert int(fills.column("position_lots").to_numpy()[own][-1]) == position.position_lots
