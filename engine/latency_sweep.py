"""`crosswire latency`: one configuration at several order latencies, each a run of its own, and P&L against them."""

import re
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from crosswire.engine.backtest import run_backtest
from crosswire.engine.config import ConfigError, read_config_text
from crosswire.engine.report import plots
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.summary import RunSummary, read_summary
from crosswire.engine.report.text import duration_text, money_text, number_text, percent_text
from crosswire.nic.duration import NS_PER_US
from crosswire.nic.warning import DataWarning

LATENCIES_MAX = 64  # of one command
LATENCY_KEYS = ("order_latency", "response_latency")
TABLE = re.compile(r"^\s*\[(.*)\]\s*(#.*)?$")


class SweptRun(msgspec.Struct, kw_only=True):
    """One run of a sweep. Money is in `currency`, all settlement currencies at the run's last prices."""

    order_latency_us: int  # each way: from send to matching engine, and from there back
    folder: str
    orders_sent: int
    fills: int
    opportunities: int
    captured: int
    trades: int
    missed_legs: int  # trades with one
    currency: str
    realised: Decimal
    locked: Decimal
    open: Decimal
    net: Decimal
    flattened: Decimal
    drawdown: Decimal
    warnings: list[DataWarning]


class Sweep(msgspec.Struct, kw_only=True):
    """What `latency-....json` holds."""

    name: str
    config_file: str
    runs: list[SweptRun]  # the shortest latency first


def with_order_latency(config_text: str, latency_us: int, where: str) -> str:
    """Set the latency of orders, there and back, at every venue of a configuration; ConfigError if that can't be done.

    The one place that knows how a latency is written: everything else of the text stays as it is, comments too.
    """
    lines: list[str] = []
    constant = {"model": "constant", "us": latency_us}
    is_simulation = False
    for line in config_text.splitlines():
        if (table := TABLE.match(line)) is not None:
            is_simulation = table[1].strip() == "venue.simulation"
            lines.append(line)
            if is_simulation:
                lines += [f'{key} = {{ model = "constant", us = {latency_us} }}' for key in LATENCY_KEYS]
        elif not (is_simulation and line.split("=")[0].strip() in LATENCY_KEYS):
            lines.append(line)
    changed = "\n".join(lines) + "\n"
    try:
        venues = tomllib.loads(changed).get("venue", [])
        told = [[venue.get("simulation", {}).get(key) for key in LATENCY_KEYS] for venue in venues]
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        told = []
    if not told or any(each != [constant] * len(LATENCY_KEYS) for each in told):
        raise ConfigError(
            f"{where}: order latencies can't be set: write each venue's simulation as a table [venue.simulation] with"
            f" {' and '.join(LATENCY_KEYS)}"
        )
    return changed


def parse_latencies(words: str) -> list[int]:
    """Read "100,300,1000"; ConfigError if that is no list of microseconds. Each once, the shortest first."""
    try:
        latencies = sorted({int(word) for word in words.split(",")})
    except ValueError:
        latencies = []
    if not latencies or latencies[0] < 0 or len(latencies) > LATENCIES_MAX:
        raise ConfigError(
            f"--order-us {words}: must be 1 to {LATENCIES_MAX} whole numbers of microseconds, as 100,300,1000"
        )
    return latencies


def sweep_latencies(
    config_path: Path, output: Path, latencies_us: Sequence[int], say: Callable[[str], None]
) -> tuple[Sweep, Path]:
    """Run at each latency; return the figures, and the page that was written beside the run folders."""
    config_text = read_config_text(config_path)
    texts = [with_order_latency(config_text, each, str(config_path)) for each in latencies_us]
    runs = []
    for latency_us, own_text in zip(latencies_us, texts, strict=True):
        started = time.perf_counter()
        folder = run_backtest(config_path, output, started=started, with_report=False, config_text=own_text)
        summary = read_summary(folder)
        runs.append(_swept(latency_us, folder, summary))
        say(f"{duration_text(latency_us * NS_PER_US)}: {folder}")
    sweep = Sweep(name=summary.name, config_file=str(config_path), runs=runs)
    stem = output / sweep.name / f"latency-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    encoded = msgspec.json.Encoder(decimal_format="number").encode(sweep)
    _write(stem.with_suffix(".json"), msgspec.json.format(encoded).decode() + "\n")
    return sweep, _write(stem.with_suffix(".html"), sweep_page(sweep))


def _write(path: Path, content: str) -> Path:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    return partial.replace(path)


def _swept(latency_us: int, folder: Path, summary: RunSummary) -> SweptRun:
    profit = summary.pnl_approximation
    assert profit is not None, "a run has an instrument, so a settlement currency"
    return SweptRun(
        order_latency_us=latency_us,
        folder=str(folder),
        orders_sent=summary.orders_sent,
        fills=summary.fills,
        opportunities=summary.opportunities.count,
        captured=summary.opportunities.captured,
        trades=summary.trades.count,
        missed_legs=summary.trades.missed_legs.trades,
        currency=profit.currency,
        realised=profit.realised,
        locked=profit.locked,
        open=profit.open,
        net=profit.net,
        flattened=profit.flattened,
        drawdown=profit.drawdown.amount,
        warnings=summary.warnings,
    )


COUNTS = ("each way", "orders", "fills", "captured", "of", "missed")
COLUMNS = (*COUNTS, "realised", "locked", "open", "= marked", "flattened", "drawdown")


def sweep_rows(sweep: Sweep) -> Iterator[tuple[str, ...]]:
    """Write the figures for people, in the order of COLUMNS."""
    for run in sweep.runs:
        money = (run.realised, run.locked, run.open, run.net, run.flattened, run.drawdown)
        yield (
            duration_text(run.order_latency_us * NS_PER_US),
            number_text(run.orders_sent),
            number_text(run.fills),
            number_text(run.captured),
            percent_text(run.captured / run.opportunities if run.opportunities else None),
            number_text(run.missed_legs),
            *(money_text(amount, run.currency, named=False) for amount in money),
        )


def sweep_warnings(sweep: Sweep) -> list[str]:
    """Write each warning of any run once, with how many runs have it."""
    counts = Counter(str(warning) for run in sweep.runs for warning in run.warnings)
    return [f"{words} (in {count} of {len(sweep.runs)} runs)" for words, count in counts.items()]


def sweep_page(sweep: Sweep) -> str:
    """Draw P&L and what was captured against latency, with the table."""
    page = Page(f"{sweep.name}: P&L against latency")
    page.add(f"<h1>{text(sweep.name)}: P&L against latency</h1>")
    page.add(f"<p class='quiet'>{text(sweep.config_file)}, each latency a run of its own</p>")
    page.warnings(sweep_warnings(sweep))
    currency = sweep.runs[0].currency
    # What takes no time has no place on a log axis; it stands left of the shortest one.
    shortest = min((run.order_latency_us for run in sweep.runs if run.order_latency_us), default=1)
    x = np.log10([(run.order_latency_us or shortest / 2) * NS_PER_US for run in sweep.runs])
    axis = plots.axis("order latency, each way (log scale)", **plots.duration_ticks(x.min(), x.max()))
    money = [
        ("marked", plots.INK, [run.net for run in sweep.runs]),
        ("if flattened now", plots.BAD_COLOUR, [run.flattened for run in sweep.runs]),
        ("realised", plots.GOOD_COLOUR, [run.realised for run in sweep.runs]),
    ]
    traces = [plots.points(x, np.array(amounts, float), name, colour) for name, colour, amounts in money]
    page.figure("P&L", plots.figure(traces, axis, plots.axis(f"P&L (about {text(currency)})"), 380))
    numbers = [
        ("captured opportunities", plots.GOOD_COLOUR, [run.captured for run in sweep.runs]),
        ("trades with a missed leg", plots.BAD_COLOUR, [run.missed_legs for run in sweep.runs]),
    ]
    traces = [plots.points(x, np.array(amounts, float), name, colour) for name, colour, amounts in numbers]
    page.figure("Captured and missed", plots.figure(traces, axis, plots.axis("count"), 300))
    page.table([f"{name}" for name in COLUMNS], sweep_rows(sweep))
    page.note(f"Money in {currency}, all of it at each run's last prices. docs/report.md says what each part is.")
    return page.render()
