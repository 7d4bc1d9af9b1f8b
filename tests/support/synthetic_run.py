"""A seeded made-up run, written as the engine would write it: three instruments, a gap, missed legs, vetoes."""

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

from crosswire.engine.report.buffers import RECORDS_MAX, Records, append, make_records
from crosswire.engine.report.recorder import InstrumentInfo, Recorder, RecordNames
from crosswire.engine.report.summary import LatencyFacts, RunFacts, RunSummary, VenueFacts, summarise, write_summary
from crosswire.risk.position import Position
from crosswire.venues.instrument import E9, Kind, Payoff
from crosswire.venues.order import OrderState, TimeInForce
from crosswire.venues.side import BUY, SELL

START_NS = 1_767_312_000_000_000_000  # 2026-01-02 00:00:00 UTC
NAMES = RecordNames(
    vetoes={12: "order_rate", 14: "stale_book"},
    blocked={1: "cooldown", 2: "position_limit", 3: "stale_book"},
    outcomes={1: "both_legs", 2: "hedged", 3: "unwound"},
)


def spot(index: int = 0, venue: str = "binance", symbol: str = "BTCUSDT", **changes: Any) -> InstrumentInfo:
    """A linear instrument: tick 0.01, lot 0.00001 BTC, unless told otherwise."""
    tick_e9, lot_e9 = changes.pop("tick_e9", 10_000_000), changes.pop("lot_e9", 10_000)
    given: dict[str, Any] = {
        "index": index,
        "symbol": symbol,
        "venue": venue,
        "underlying": 0,
        "kind": Kind.SPOT,
        "payoff": Payoff.LINEAR,
        "tick_e9": tick_e9,
        "lot_e9": lot_e9,
        "tick_lot_e9": tick_e9 * lot_e9 // E9,
        "maker_fee_e9": 0,
        "taker_fee_e9": 100_000,
        "expiry_ns": 0,
        "base": "BTC",
        "quote": "USDT",
        "settlement": "USDT",
    }
    return InstrumentInfo(**(given | changes))


def inverse(index: int = 1, venue: str = "deribit", symbol: str = "BTC-PERPETUAL", **changes: Any) -> InstrumentInfo:
    """An inverse perpetual: tick 0.5, lot 10 USD, settled in BTC."""
    given: dict[str, Any] = {
        "kind": Kind.PERPETUAL,
        "payoff": Payoff.INVERSE,
        "tick_e9": 500_000_000,
        "lot_e9": 10 * E9,
        "taker_fee_e9": 50_000,
        "quote": "USD",
        "settlement": "BTC",
    }
    return spot(index, venue, symbol, **(given | changes))


def add(records: Any, **values: int) -> None:
    """Append one record with all its fields: a buffer's entries keep what they held before."""
    record = append(records)
    assert set(values) == set(type(record).fields)
    for name, value in values.items():
        setattr(record, name, value)


class SyntheticRun:
    """Plays the engine: prices walk, opportunities come, trades are made of them, some with a missed leg."""

    def __init__(self, directory: Path, seed: int = 7, instruments: list[InstrumentInfo] | None = None) -> None:
        self.random = random.Random(seed)
        self.instruments = instruments or [
            spot(),
            spot(1, "binance", "BTCUSDT-PERP", kind=Kind.PERPETUAL, tick_e9=100_000_000, lot_e9=1_000_000),
            inverse(2),
        ]
        self.recorder = Recorder(directory, self.instruments, NAMES)
        self.records: Records = make_records()
        self.positions = [Position() for _ in self.instruments]
        self.middles = [65_000.0 for _ in self.instruments]
        self.tops = [(0, 0) for _ in self.instruments]
        self.now_ns = START_NS
        self.last_order_id = self.last_trade_id = self.orders_sent = 0
        self.vetoes: dict[str, int] = {}

    def play(self, steps: int, step_ns: int = 100_000_000) -> None:
        """`steps` samples of every instrument, with opportunities and trades between them."""
        for step in range(steps):
            self._walk()
            broken = steps // 3 <= step < steps // 3 + steps // 20
            self._sample(broken)
            if not broken and self.random.random() < 0.1:
                self._opportunity()
            if self.records.samples.count > RECORDS_MAX // 2:
                self.recorder.drain(self.records)
            self.now_ns += step_ns
        self._sample(False)

    def finish(self, **facts: Any) -> RunSummary:
        """Drain, close, and write the summary; `facts` replace the made-up ones."""
        self.recorder.drain(self.records)
        self.recorder.close()
        run = RunFacts(**(self._facts() | facts))
        summary = summarise(run, self.recorder.directory)
        write_summary(summary, run.config_text, self.recorder.directory)
        return summary

    def _facts(self) -> dict[str, Any]:
        def latency(middle_ns: float, spread: float) -> LatencyFacts:
            counts: Counter[int] = Counter()
            for _ in range(2000):
                value_ns = self.random.lognormvariate(0, spread) * middle_ns
                counts[int(1.125 ** math.ceil(math.log(value_ns, 1.125)))] += 1
            return LatencyFacts(buckets=sorted(counts.items()), max_ns=max(counts))

        return {
            "name": "synthetic",
            "config_file": "examples/synthetic.toml",
            "config_text": 'name = "synthetic"\n[strategy]\nuse = "cross_spread"\n',
            "engine_version": "0.1.0",
            "instruments": self.instruments,
            "venues": {
                info.venue: VenueFacts(
                    packets=120_000,
                    level_updates=800_000,
                    sequence_gaps=3,
                    continuity_breaks=1,
                    duplicates=12,
                    rejects={"short_block": 2},
                    messages={"book_delta": 100_000, "trade": 20_000},
                )
                for info in self.instruments
            },
            "frames": 240_000,
            "messages": 260_000,
            "level_updates": 1_600_000,
            "orders_sent": self.orders_sent,
            "orders_vetoed": self.vetoes,
            "first_time_ns": START_NS,
            "last_time_ns": self.now_ns,
            "start_s": 0.61,
            "wall_s": 0.12,
            "digest": "0123456789abcdef" * 4,
            "latencies": {"feed": latency(4e6, 0.6), "order round trip": latency(9e6, 0.25)},
        }

    def _walk(self) -> None:
        common = self.random.gauss(0, 6.0)
        for index, info in enumerate(self.instruments):
            pull = 0.15 * (self.middles[0] - self.middles[index])
            self.middles[index] += common + pull + self.random.gauss(0, 7.0 if index else 0.0)
            tick = info.tick_e9 / 1e9
            bid = round(self.middles[index] / tick)
            self.tops[index] = (bid, bid + self.random.choice((1, 1, 2)))

    def _sample(self, broken: bool) -> None:
        for index, (bid, ask) in enumerate(self.tops):
            position = self.positions[index]
            add(
                self.records.samples,
                time_ns=self.now_ns,
                instrument=index,
                valid=0 if broken and index == len(self.instruments) - 1 else 1,
                bid_ticks=bid,
                ask_ticks=ask,
                position_lots=position.position_lots,
                cash_e9=position.cash_e9,
                fees_e9=position.fees_e9,
            )

    def _opportunity(self) -> None:
        buy, sell = self.random.sample(range(len(self.instruments)), 2)
        if self.middles[buy] > self.middles[sell]:
            buy, sell = sell, buy
        chance = self.random.random()
        size_e9 = self.random.randrange(1, 20) * 10_000_000
        edge_e9 = round(abs(self.random.gauss(0, 8)) * E9) + E9
        traded = chance < 0.4
        end_ns = self.now_ns + round(self.random.lognormvariate(0, 1.3) * 15e6)
        if traded:
            self._trade(buy, sell, size_e9, edge_e9)
        elif chance < 0.5:
            self.vetoes["order_rate"] = self.vetoes.get("order_rate", 0) + 1
            self._order(buy, BUY, 1, 0, OrderState.VETOED, 12, 0)
        add(
            self.records.opportunities,
            strategy=0,
            start_ns=self.now_ns,
            end_ns=end_ns,
            buy_instrument=buy,
            sell_instrument=sell,
            first_edge_e9=edge_e9,
            peak_edge_e9=edge_e9,
            peak_size_e9=size_e9,
            peak_value_e9=edge_e9 * size_e9 // E9,
            captured_size_e9=size_e9 if traded else 0,
            attempts=1 if traded else 0,
            blocked_by=0 if traded else self.random.choice((1, 1, 1, 2, 3)),
            first_buy_ticks=self.tops[buy][1],
            first_sell_ticks=self.tops[sell][0],
            peak_ns=min(end_ns, self.now_ns + 1_000_000),
            peak_buy_ticks=self.tops[buy][1] - 5,
            peak_sell_ticks=self.tops[sell][0],
            legs=0,
        )

    def _trade(self, buy: int, sell: int, size_e9: int, edge_e9: int) -> None:
        self.last_trade_id += 1
        missed = self.random.random() < 0.15
        started_ns = self.now_ns
        self._leg(buy, BUY, size_e9, 0)
        self._leg(sell, SELL, size_e9, 2 if missed else 0)
        unhedged_ns = round(self.random.lognormvariate(0, 0.7) * (40e6 if missed else 2e6))
        expected = edge_e9 * size_e9 // E9
        cost = round(self.random.gauss(3, 2) * E9 * size_e9 / 1e8) if missed else 0
        add(
            self.records.trades,
            trade_id=self.last_trade_id,
            strategy=0,
            start_ns=started_ns,
            end_ns=started_ns + unhedged_ns + 1_000_000,
            buy_instrument=buy,
            sell_instrument=sell,
            intended_size_e9=size_e9,
            bought_size_e9=size_e9,
            sold_size_e9=size_e9,
            expected_value_e9=expected,
            traded_value_e9=expected - cost - self.random.randrange(E9 // 10),
            outcome=self.random.choice((2, 3)) if missed else 1,
            retries=1 if missed else 0,
            unhedged_ns=unhedged_ns,
            miss_cost_e9=cost,
            first_buy_ticks=self.tops[buy][1],
            first_sell_ticks=self.tops[sell][0],
            legs=0,
        )

    def _leg(self, index: int, side: int, size_e9: int, worse_ticks: int) -> None:
        info, position = self.instruments[index], self.positions[index]
        bid, ask = self.tops[index]
        decision = ask if side == BUY else bid
        worse = worse_ticks + self.random.choice((0, 0, 0, 1, -1))
        price = decision + (worse if side == BUY else -worse)
        price_e9 = price * info.tick_e9
        if info.is_inverse:
            lots = max(1, size_e9 * price_e9 // E9 // info.lot_e9)
            value_e9 = lots * info.lot_e9 * E9 // price_e9
            cash = value_e9 if side == BUY else -value_e9
        else:
            lots = max(1, size_e9 // info.lot_e9)
            value_e9 = lots * price * info.tick_lot_e9
            cash = -value_e9 if side == BUY else value_e9
        fee = value_e9 * info.taker_fee_e9 // E9
        position.position_lots += lots if side == BUY else -lots
        position.cash_e9 += cash
        position.fees_e9 += fee
        self._order(index, side, lots, lots, OrderState.FILLED, 0, self.last_trade_id)
        add(
            self.records.fills,
            time_ns=self.now_ns + 9_000_000,
            exchange_time_ns=self.now_ns + 5_000_000,
            client_order_id=self.last_order_id,
            execution_id=self.last_order_id,
            instrument=index,
            strategy=0,
            side=side,
            price_ticks=price,
            qty_lots=lots,
            decision_ticks=decision,
            fee_e9=fee,
            is_maker=0,
            position_lots=position.position_lots,
            strategy_position_lots=position.position_lots,
            trade_id=self.last_trade_id,
            match_id=0,
            planned_tick_lots=decision * lots,
            exchange_order_id=self.last_order_id,
        )

    def _order(self, index: int, side: int, lots: int, filled: int, state: int, reason: int, trade_id: int) -> None:
        self.last_order_id += 1
        sent = state != OrderState.VETOED
        self.orders_sent += sent
        add(
            self.records.orders,
            created_ns=self.now_ns,
            trigger_ns=self.now_ns,
            acked_ns=self.now_ns + 9_000_000 if sent else 0,
            closed_ns=self.now_ns + (9_000_000 if sent else 0),
            client_order_id=self.last_order_id,
            instrument=index,
            strategy=0,
            side=side,
            time_in_force=TimeInForce.IOC,
            price_ticks=self.tops[index][1 - side],
            qty_lots=lots,
            filled_lots=filled,
            state=state,
            reason=reason,
            trade_id=trade_id,
        )
