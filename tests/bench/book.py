"""What a level change costs, the best prices read after each: `python -m tests.bench.book [PASSES]`.

The real Binance depth streams (snapshot and differences, BTC), and two books as sparse as those of options. Each stream
runs PASSES times from an empty book, in turns with the simplest table there is (`TickTable`: no level count, no index,
no memory given back), so that a busy machine shows in both. Figures are ns a change: medians over the passes of each
CHUNK changes, summed. `ratio` is hftbacktest's figure over ours, all changes of the three real streams together.
"""

import gzip
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from crosswire.nic.memory.raw import fill_bytes, hash_bits
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, size_of
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, clear_book, make_books, set_level
from crosswire.venues.side import ASK, BID
from tests.support.paths import benchmark_recording

STREAMS = (  # name, file, tick, lot
    ("usdm", "usdm/btcusdt_20240808.gz", 0.1, 0.001),
    ("spot", "spot/btcusdt_20240808.gz", 0.01, 0.00001),
    ("coinm", "coinm/btcusd_perp_20240808.gz", 0.1, 1),
)
HFTBACKTEST_NS = 12.5  # its range-of-interest book in Rust, on these streams; its hash book takes 27
LEVEL_CAPACITY = 20_000
SPARSE_CHANGES = 100_000
CHUNK = 4096
TABLE_BITS = 17
STEPS_MAX = 2_000_000  # ticks that the simplest table looks for its next best price


class Change(Struct):
    side: i64
    price_ticks: i64
    qty_lots: i64


class Cell(Struct):
    key: i64  # 0 when free
    qty_lots: i64


class TickTable(Struct):
    """One open-addressing table, tick -> size; the next best price is found tick by tick."""

    bid_ticks: i64
    ask_ticks: i64
    cells: Annotated[Pointer, Cell]


@machine_code
def clear_table(table: TickTable) -> None:
    fill_bytes(address_of(table.cells), 0, size_of(Cell) << TABLE_BITS)
    table.bid_ticks = NO_BID
    table.ask_ticks = NO_ASK


@compiled
def find_cell(table: TickTable, side: int, price_ticks: int) -> Cell:
    key = (price_ticks << 1 | side) + 1
    slot = hash_bits(key, TABLE_BITS)
    while table.cells[slot].key != key and table.cells[slot].key != 0:
        slot = (slot + 1) & ((1 << TABLE_BITS) - 1)
    cell: Cell = table.cells[slot]
    return cell


@compiled
def set_cell(table: TickTable, side: int, price_ticks: int, qty_lots: int) -> None:
    cell = find_cell(table, side, price_ticks)
    cell.key = (price_ticks << 1 | side) + 1
    cell.qty_lots = qty_lots
    if side == BID:
        if qty_lots > 0:
            table.bid_ticks = max(table.bid_ticks, price_ticks)
        elif price_ticks == table.bid_ticks:
            end = price_ticks - STEPS_MAX
            price_ticks -= 1
            while price_ticks > end and find_cell(table, BID, price_ticks).qty_lots == 0:
                price_ticks -= 1
            table.bid_ticks = price_ticks if price_ticks > end else NO_BID
    elif qty_lots > 0:
        table.ask_ticks = min(table.ask_ticks, price_ticks)
    elif price_ticks == table.ask_ticks:
        end = price_ticks + STEPS_MAX
        price_ticks += 1
        while price_ticks < end and find_cell(table, ASK, price_ticks).qty_lots == 0:
            price_ticks += 1
        table.ask_ticks = price_ticks if price_ticks < end else NO_ASK


@machine_code
def run_book(book: Book, changes: Array, first: int, end: int) -> int:
    total = 0
    for index in range(first, end):
        change = changes[index]
        if not set_level(book, change.side, change.price_ticks, change.qty_lots):
            return -1
        total += book.level_bid_ticks ^ book.level_ask_ticks
    return total


@machine_code
def run_table(table: TickTable, changes: Array, first: int, end: int) -> int:
    total = 0
    for index in range(first, end):
        change = changes[index]
        set_cell(table, change.side, change.price_ticks, change.qty_lots)
        total += table.bid_ticks ^ table.ask_ticks
    return total


def recorded_depth(path: Path) -> Iterator[tuple[list[list[str]], list[list[str]]]]:
    """Bids and asks, price and size each, of a recording's first snapshot, then of every newer difference."""
    last = None
    with gzip.open(path, "rt") as file:
        lines = file.readlines()
    for line in lines:
        message = json.loads(line.split(" ", 1)[1])
        message = message.get("data", message)
        if "lastUpdateId" in message:
            last = message["lastUpdateId"]
            yield message["bids"], message["asks"]
        elif message.get("e") == "depthUpdate" and last is not None and message["u"] > last:
            yield message["b"], message["a"]


def recorded(path: Path, tick: float, lot: float) -> Iterator[tuple[int, int, int]]:
    """Level changes of a recording."""
    for sides in recorded_depth(path):
        for side, levels in zip((BID, ASK), sides, strict=True):
            for price, size in levels:
                yield side, round(float(price) / tick), round(float(size) / lot)


def sparse(levels: int, span_ticks: int) -> Iterator[tuple[int, int, int]]:
    """Sizes come and go at `levels` random prices a side."""
    draw = random.Random(1)
    prices = [[sign * draw.randrange(1, span_ticks) for _ in range(levels)] for sign in (-1, 1)]
    for _ in range(SPARSE_CHANGES):
        side = draw.randrange(2)
        yield side, draw.choice(prices[side]), draw.choice((0, 5))


def as_array(rows: Iterator[tuple[int, int, int]]) -> Array:
    listed = list(rows)
    changes = array(Change, len(listed))
    changes.numpy()[:] = listed
    return changes


def time_chunks(
    run: Callable[[int, int], int], count: int, chunk: int, times_ns: list[list[int]], clock: Callable[[], int]
) -> None:
    """Run all of `count` in chunks, and add to the list of each what it took by `clock`."""
    for place, first in enumerate(range(0, count, chunk)):
        began = clock()
        result = run(first, min(first + chunk, count))
        times_ns[place].append(clock() - began)
        if result == -1:
            raise RuntimeError("there is no room")


def measure(changes: Array, passes: int, with_table: bool) -> tuple[float, float]:
    """ns a change of the book and of the tick table (0 if it is left out)."""
    count = len(changes)
    book = make_books(1, LEVEL_CAPACITY, in_large_pages=True)[0]  # as an engine's deep books are
    table = TickTable(cells=array(Cell, 1 << TABLE_BITS))
    book_ns: list[list[int]] = [[] for _ in range(0, count, CHUNK)]
    table_ns: list[list[int]] = [[] for _ in range(0, count, CHUNK)]

    def time_pass(run: Callable[[int, int], int], times_ns: list[list[int]]) -> None:
        time_chunks(run, count, CHUNK, times_ns, time.perf_counter_ns)

    for number in range(passes + 1):
        clear_book(book)
        time_pass(lambda first, end: run_book(book, changes, first, end), book_ns)
        if with_table:
            clear_table(table)
            time_pass(lambda first, end: run_table(table, changes, first, end), table_ns)
        if number == 0:  # compiles, and touches the memory
            book_ns = [[] for _ in book_ns]
            table_ns = [[] for _ in table_ns]
    if with_table and (book.level_bid_ticks, book.level_ask_ticks) != (table.bid_ticks, table.ask_ticks):
        raise RuntimeError("book and table differ")
    sums = [sum(statistics.median(chunk) for chunk in times if chunk) for times in (book_ns, table_ns)]
    return sums[0] / count, sums[1] / count


def main(passes: int) -> None:
    figures: dict[str, float] = {}
    real_ns = real_changes = 0.0
    for name, file, tick, lot in STREAMS:
        changes = as_array(recorded(benchmark_recording(f"binance/{file}"), tick, lot))
        book_ns, table_ns = measure(changes, passes, with_table=True)
        figures[f"{name}_ns"], figures[f"{name}_tick_table_ns"] = round(book_ns, 2), round(table_ns, 2)
        real_ns += book_ns * len(changes)
        real_changes += len(changes)
        print(f"{name}: {len(changes):,} changes, {book_ns:.1f} ns (tick table {table_ns:.1f} ns)", flush=True)
    for name, levels, span_ticks in (("options", 200, 600_000), ("sparse", 5000, 10_000_000)):
        book_ns, _ = measure(as_array(sparse(levels, span_ticks)), passes, with_table=False)
        figures[f"{name}_ns"] = round(book_ns, 2)
        print(f"{name}: {levels} levels a side, {span_ticks // levels:,} ticks apart: {book_ns:.1f} ns", flush=True)
    ratio = HFTBACKTEST_NS * real_changes / real_ns
    print(json.dumps({"name": "book", **figures, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
