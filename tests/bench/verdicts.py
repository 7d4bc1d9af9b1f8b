"""`crosswire bench verdicts`: what each strategy makes of the recordings, for the fees of two accounts.

    crosswire bench verdicts [--only STRATEGY ...] [--market btc ...] [--output FOLDER]

tests/bench/verdicts/STRATEGY.toml has a `[strategy]` table for each market; a market is an example configuration
without its own strategy; `money` beside the parameters goes into the instruments' own tables. Each is run twice: with
the example's fees, which are made up to have something to trade, and with those of an account at the venues' lowest
tier. Times are the recordings' own (`feed_latency = "measured"`) and the example's way to the exchange and back. The
table is Markdown, as docs/strategies.md has it; the last line is one JSON object. Run folders stay in FOLDER for a
closer look.
"""

import argparse
import json
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from crosswire.engine.backtest import run_backtest
from crosswire.engine.configuration.show import toml_text
from crosswire.engine.errors import NothingError
from crosswire.engine.report.summary import ProfitParts, RunSummary, read_summary

ROOT = Path(__file__).parents[2]
STRATEGIES = Path(__file__).parent / "verdicts"
MARKETS = {"btc": "binance-btc.toml", "eth": "binance-eth.toml", "starbase": "starbase.toml"}
# Maker and taker in bps, by the example's venue. Binance for VIP 0, as third parties quote it (spot 0.1 %, USD-M and
# COIN-M 0.02 and 0.05 %); Deribit: support.deribit.com, Fees.
LOWEST_TIER = {"spot": (10, 10), "usdm": (2, 5), "coinm": (2, 5), "bridge": (2, 5), "starbase": (0, 5)}
FEES = ("example", "lowest tier")
MONEY_STEP = Decimal("0.01")


@dataclass(frozen=True)
class Case:
    """One strategy on one market for one account's fees."""

    strategy: str
    market: str
    fees: str

    @property
    def example(self) -> Path:
        return ROOT / "examples" / MARKETS[self.market]

    def config_text(self) -> str:
        """Give the market's example with this strategy and these fees."""
        table = tomllib.loads(self.example.read_text(), parse_float=Decimal)
        table["strategy"] = self.strategy_table()
        add_money(table, table["strategy"].pop("money", {}))
        table["name"] = f"verdict-{self.strategy}-{self.market}-{self.fees.replace(' ', '-')}".replace("_", "-")
        if self.fees == "lowest tier":
            for venue in table["venue"]:
                for instrument in venue["instrument"]:
                    instrument["maker_fee_bps"], instrument["taker_fee_bps"] = LOWEST_TIER[venue["name"]]
        return toml_text(table)

    def strategy_table(self) -> dict[str, Any]:
        text = (STRATEGIES / f"{self.strategy}.toml").read_text()
        table: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)[self.market]
        return table


def add_money(table: dict[str, Any], money: dict[str, dict[str, Any]]) -> None:
    """Put what holding costs, by "venue/symbol", into a configuration's instruments; files are beside the examples."""
    for venue in table["venue"]:
        for instrument in venue["instrument"]:
            terms = money.get(f"{venue['name']}/{instrument['symbol']}", {})
            if terms.get("funding", "off") != "off":
                terms["funding"] = str((ROOT / "examples" / terms["funding"]).resolve())
            instrument.setdefault("money", {}).update(terms)


def cases(strategies: list[str], markets: list[str]) -> Iterator[Case]:
    """List what is to be run: markets that a strategy has no table for are left out."""
    for path in sorted(STRATEGIES.glob("*.toml")):
        if strategies and path.stem not in strategies:
            continue
        offered = tomllib.loads(path.read_text())
        for market in MARKETS:
            if market in offered and (not markets or market in markets):
                yield from (Case(path.stem, market, fees) for fees in FEES)


def run_case(case: Case, output: Path) -> RunSummary:
    """Run one case; a run in which nothing could happen has a summary too."""
    started = time.perf_counter()
    try:
        folder = run_backtest(case.example, output, started=started, with_report=False, config_text=case.config_text())
    except NothingError as error:
        folder = error.folder
    return read_summary(folder)


def row_of(case: Case, summary: RunSummary) -> dict[str, Any]:
    """Give the figures of one run; money in the currency of the approximation, which values all others in it."""
    volumes: Counter[str] = Counter()
    for each in summary.instruments.values():
        volumes[each.volume_currency] += each.volume  # type: ignore[assignment]
    profit: ProfitParts | None = summary.pnl_approximation
    currency = summary.pnl_approximation.currency if summary.pnl_approximation else ""
    if profit is None and len(summary.pnl) == 1:
        currency, profit = next(iter(summary.pnl.items()))
    parts = {key: getattr(profit, key) for key in ("realised", "locked", "open", "net", "flattened")} if profit else {}
    return {
        "strategy": case.strategy,
        "market": case.market,
        "fees": case.fees,
        "opportunities": summary.opportunities.count,
        "captured": summary.opportunities.captured,
        "trades": summary.trades.count,
        "orders": summary.orders_sent,
        "fills": summary.fills,
        "maker_fills": summary.maker_fills,
        "volume": {name: round(value) for name, value in volumes.items() if value},
        "fees_paid": {name: float(value) for name, value in summary.fees.items() if value},
        "currency": currency,
        **{key: float(value.quantize(MONEY_STEP)) for key, value in parts.items()},
        "digest": summary.digest,
        "warnings": [str(warning) for warning in summary.warnings],
    }


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the table as Markdown."""
    columns = ["strategy", "market", "fees", "opportunities", "captured", "orders", "fills", "maker_fills"]
    money = ["realised", "locked", "open", "net", "flattened"]
    print("| " + " | ".join(name.replace("_", " ") for name in [*columns, *money, "in"]) + " |")
    print("|---" * (len(columns) + len(money) + 1) + "|")
    for row in rows:
        told = [f"{row[name]:,}" if isinstance(row[name], int) else row[name] for name in columns]
        told += [f"{row[name]:,.2f}" if name in row else "" for name in money]
        print("| " + " | ".join([*told, row["currency"]]) + " |")


def main() -> None:
    """Run what is asked for, print the table and what is to be known of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="STRATEGY")
    parser.add_argument("--market", action="append", default=[], choices=list(MARKETS))
    parser.add_argument("--output", type=Path, default=ROOT / "runs")
    arguments = parser.parse_args()
    rows = []
    for case in cases(arguments.only, arguments.market):
        summary = run_case(case, arguments.output)
        rows.append(row_of(case, summary))
    print_rows(rows)
    for row in rows:
        for warning in row["warnings"]:
            print(f"{row['strategy']}, {row['market']}, {row['fees']}: {warning}")
    print(json.dumps({"verdicts": rows}))


if __name__ == "__main__":
    main()
