"""Recorded Binance streams into captures: exactness against the plain JSON, the venues' rules, and bad lines."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard

from crosswire.venues.bridge.binance.importer import ImportOptions, import_binance, import_file
from crosswire.venues.bridge.binance.remark import ABOUT, Remark
from crosswire.venues.bridge.binance.terms import load_terms
from crosswire.venues.bridge.binance.text import RecordingError
from crosswire.venues.instrument import Kind, Payoff
from tests.support.binance_import import (
    T0,
    Sides,
    assert_same_book,
    decoded,
    depth,
    exactly,
    header_times,
    imported,
    recorded,
    rest,
)
from tests.support.paths import ROOT, recording

RECORDINGS = {
    "spot/btcusdt": (41_249, "0.01", "0.00001"),
    "spot/ethusdt": (33_618, "0.01", "0.0001"),
    "usdm/btcusdt": (93_954, "0.1", "0.001"),
    "usdm/ethusdt": (74_655, "0.01", "0.001"),
    "coinm/btcusd_perp": (48_270, "0.1", "1"),
    "coinm/ethusd_perp": (40_454, "0.01", "1"),
}


def rebuilt(recording: Path, tick: str, lot: str) -> tuple[Sides, int, dict[str, int]]:
    """Book, last update id and message counts of a recording, from its JSON alone, by the venue's published rules."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    to_ticks = cache(lambda text: exactly(Decimal(text) / Decimal(tick)))
    to_lots = cache(lambda text: int(Decimal(text) / Decimal(lot)))
    counts = {"depthUpdate": 0, "bookTicker": 0, "trade": 0}
    waiting: list[Any] | None = []
    last = previous = 0

    def change(side: dict[int, int], levels: list[list[str]]) -> None:
        for price, size in levels:
            if to_lots(size):
                side[to_ticks(price)] = to_lots(size)
            else:
                side.pop(to_ticks(price), None)

    def follow(message: Any) -> None:
        nonlocal last, previous
        if message["u"] < last + ("pu" not in message):
            return
        if previous == 0:
            assert message["U"] <= last + 1 <= message["u"] + 1
        else:
            assert message.get("pu", message["U"] - 1) == previous
        last = previous = message["u"]
        change(bids, message["b"])
        change(asks, message["a"])

    with gzip.open(recording) as lines:
        for line in lines:
            message = json.loads(line.partition(b" ")[2])
            message = message.get("data", message)
            if "lastUpdateId" in message:
                last = message["lastUpdateId"]
                change(bids, message["bids"])
                change(asks, message["asks"])
                for held in waiting or ():
                    follow(held)
                waiting = None
                continue
            counts[message.get("e", "bookTicker")] += 1
            if message.get("e") == "depthUpdate":
                follow(message) if waiting is None else waiting.append(message)
    return (bids, asks), last, counts


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_real_recording_gives_the_books_that_its_json_gives(name: str, tmp_path: Path) -> None:
    path = recording(f"binance/{name}_20240808.gz")
    lines, tick, lot = RECORDINGS[name]
    [summary] = import_binance([path], tmp_path)
    market = name.partition("/")[0]
    assert summary.output == tmp_path / f"{market}_{path.stem}.pcap"
    expected, last, counts = rebuilt(path, tick, lot)
    assert (summary.lines, summary.breaks, summary.snapshots, summary.market) == (lines, 0, 1, market)
    assert (summary.quotes, summary.trades) == (counts["bookTicker"], counts["trade"])
    assert summary.deltas + summary.dropped == counts["depthUpdate"]
    assert lines == sum(counts.values()) + summary.snapshots
    feed, decoded_market = decoded(summary.output)
    assert (feed.packets, feed.level_updates) == (summary.packets, summary.levels)
    assert (feed.continuity_breaks, feed.sequence_gaps, sum(feed.rejects), feed.unproven_messages) == (0, 0, 0, 0)
    assert decoded_market.books[0].update_id == last
    assert_same_book(decoded_market.books[0], expected)


def test_deltas_are_held_for_the_snapshot_and_the_old_ones_dropped(tmp_path: Path) -> None:
    summary, feed, book = imported(
        tmp_path,
        depth(1, 5, [("10.00", "9")]),
        depth(6, 10, [("11.00", "8")]),
        depth(11, 15, [("12.00", "7")]),
        rest(12, [("9.00", "0.00001")]),
        depth(16, 20, [], [("13.00", "6")]),
    )
    assert (summary.held, summary.dropped, summary.breaks, summary.deltas) == (3, 2, 0, 2)
    assert (feed.continuity_breaks, book.update_id) == (0, 20)
    assert_same_book(book, ({900: 1, 1200: 700_000}, {1300: 600_000}))


def test_a_broken_chain_is_counted_written_and_mended_by_the_next_snapshot(tmp_path: Path) -> None:
    messages = [rest(12, [("9.00", "1")]), depth(13, 15), depth(17, 20, [("8.00", "1")]), depth(21, 22)]
    summary, feed, book = imported(tmp_path, *messages)
    assert (summary.breaks, summary.deltas, feed.continuity_breaks, book.valid) == (1, 3, 1, 0)
    summary, feed, book = imported(tmp_path, *messages, rest(21, [("7.00", "1")]), depth(23, 24, [("6.00", "2")]))
    assert (summary.breaks, summary.snapshots, feed.continuity_breaks) == (1, 2, 1)
    assert book.update_id == 24
    assert_same_book(book, ({700: 100_000, 600: 200_000}, {}))


def test_a_snapshot_that_is_too_old_is_a_break(tmp_path: Path) -> None:
    summary, feed, book = imported(tmp_path, depth(10, 15), rest(5, [("9.00", "1")]), depth(16, 17))
    assert (summary.breaks, feed.continuity_breaks, book.valid) == (1, 1, 0)


def test_without_a_snapshot_deltas_are_dropped_and_quotes_kept(tmp_path: Path) -> None:
    quote = {"u": 3, "s": "BTCUSDT", "b": "9.00", "B": "1", "a": "9.01", "A": "2"}
    summary, _, book = imported(tmp_path, depth(1, 5), quote)
    assert (summary.held, summary.dropped, summary.quotes, book.valid) == (1, 1, 1, 0)


@pytest.mark.parametrize(("previous", "breaks"), [(8, 0), (12, 0), (13, 1)])
def test_futures_chain_by_the_previous_id(tmp_path: Path, previous: int, breaks: int) -> None:
    messages = [rest(12, [("9.0", "1")]), depth(14, 20, previous=previous), depth(30, 40, [("8.0", "1")], previous=20)]
    summary, feed, book = imported(tmp_path, *messages)
    assert summary.market == "usdm"
    assert (summary.breaks, feed.continuity_breaks, book.valid) == (breaks, breaks, 1 - breaks)


def test_the_definition_says_what_the_terms_say(tmp_path: Path) -> None:
    message = depth(1, 5, previous=0)
    message["data"] |= {"s": "BTCUSD_240927", "ps": "BTCUSD"}
    path = recorded(
        tmp_path / "in.txt", message, {**rest(5, [("9.1", "3")]), "symbol": "BTCUSD_240927", "pair": "BTCUSD"}
    )
    _, market = decoded(import_file(path, tmp_path / "out.pcap").output)
    instrument = market.instruments[0]
    assert bytes(instrument.symbol).rstrip(b"\0") == b"BTCUSD_240927"
    assert (instrument.kind, instrument.payoff) == (Kind.FUTURE, Payoff.INVERSE)
    assert (instrument.tick_e9, instrument.lot_e9, instrument.contract_e9) == (10**8, 100 * 10**9, 100 * 10**9)
    assert instrument.expiry_ns == 1_727_424_000 * 10**9  # 2024-09-27 08:00 UTC
    assert_same_book(market.books[0], ({91: 3}, {}))


def test_terms_come_from_toml(tmp_path: Path) -> None:
    terms_path = tmp_path / "terms.toml"
    entry = 'base="DOGE"\nquote="USDT"\nsettlement="USDT"\ntick="0.00001"\nlot="1"\nmaker_fee="0"\ntaker_fee="0"\n'
    terms_path.write_text(f"[spot.DOGEUSDT]\n{entry}")
    terms = load_terms(terms_path)
    message = depth(1, 2)
    message["data"]["s"] = "DOGEUSDT"
    path = recorded(tmp_path / "in.txt", message, rest(5, [("0.10001", "9000000000000")]))
    with pytest.raises(RecordingError, match=r"no terms for spot.DOGEUSDT"):
        import_file(path, tmp_path / "out.pcap")
    _, market = decoded(import_file(path, tmp_path / "out.pcap", ImportOptions(terms=terms)).output)
    assert_same_book(market.books[0], ({10_001: 9 * 10**12}, {}))
    terms_path.write_text(f"[spot.DOGEUSDT]\n{entry}tock=1\n")
    with pytest.raises(RecordingError, match="tock"):
        load_terms(terms_path)


def test_other_streams_are_counted_and_transfers_beside_the_book_skipped(tmp_path: Path) -> None:
    kline = {
        "stream": "btcusdt@kline_1m",
        "data": {"e": "kline", "s": "BTCUSDT", "b": 5, "k": {"t": [1, ']}\\"'], "o": "x"}},
    }
    partial = {"stream": "btcusdt@depth20", "data": rest(99, [("1.234567", "1")])}
    transfer = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "0", "q": "0", "m": True, "X": "INSURANCE_FUND"}
    ticker = {"e": "24hrTicker", "s": "BTCUSDT", "p": "-1.5", "q": "1.23456789", "b": "1.00", "B": "0.123456789"}
    summary, _, _ = imported(tmp_path, rest(1), depth(2, 3), kline, partial, transfer, ticker)
    assert (summary.other_streams, summary.lines, summary.trades, summary.sizes_rounded) == (4, 6, 0, 0)


def test_time_is_local_time_plus_the_offset_and_never_goes_back(tmp_path: Path) -> None:
    path = recorded(tmp_path / "in.txt", rest(1), depth(2, 3), depth(4, 5))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[2] + lines[0] + lines[1])
    summary = import_file(path, tmp_path / "out.pcap", ImportOptions(clock_offset_ns=1_270_000_000))
    assert set(header_times(summary.output)) == {T0 + 2000 + 1_270_000_000}
    assert summary.clock_steps_back == 2


GOOD = depth(2, 3)
BAD_LINES = {
    "{": Remark.SYNTAX,
    "": Remark.SYNTAX,
    '{"e":"depthUpdate","s":"BTCUSDT"}': Remark.MISSING_KEY,
    '{"e":"trade","s":"BTCUSDT","t":1,"p":"1.00","q":"1"}': Remark.MISSING_KEY,
    '{"e":"trade","s":"BTCUSDT","t":1,"p":"1.001","q":"1","m":true}': Remark.PRICE_OFF_TICK,
    '{"e":"trade","s":"BTCUSDT","t":-1,"p":"1.00","q":"1","m":true}': Remark.NUMBER,
    json.dumps(depth(4, 5, [("1e5", "1")])): Remark.NUMBER,
    json.dumps(depth(4, 5, [("-1.00", "1")])): Remark.NUMBER,
    json.dumps(depth(4, 5, [("1.00", "NaN")])): Remark.NUMBER,
    json.dumps(depth(4, 5, [("1.", "1")])): Remark.NUMBER,
    json.dumps(depth(4, 5, [("1.00", "99999999999999999")])): Remark.RANGE,
    json.dumps(depth(4, 10**19)): Remark.RANGE,
    json.dumps(depth(5, 4)): Remark.IDS,
    json.dumps(depth(4, 5, [("1.00",)])): Remark.SYNTAX,
    json.dumps(depth(4, 5, [(1.0, 1.0)])): Remark.SYNTAX,
    json.dumps(depth(4, 5))[:-1]: Remark.SYNTAX,
    json.dumps(depth(4, 5)) + "x": Remark.SYNTAX,
    json.dumps(depth(4, 5)).replace('"U": 4', '"U": "4"'): Remark.MISSING_KEY,
    json.dumps(depth(4, 5)).replace("BTCUSDT", "ETHUSDT"): Remark.OTHER_SYMBOL,
    json.dumps(depth(4, 5)).replace("BTCUSDT", "BTCUSDTX"): Remark.OTHER_SYMBOL,
    json.dumps(depth(4, 5, previous=3)): Remark.OTHER_MARKET,
    json.dumps(depth(4, 5, [("1.00", "1")] * 16_385)): Remark.TOO_MANY_LEVELS,
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_left_out_and_counted_by_reason(line: str, tmp_path: Path) -> None:
    snapshot = {**rest(1), "symbol": "BTCUSDT"}
    path = recorded(tmp_path / "in.txt", snapshot, GOOD, line, depth(6, 7), depth(8, 9))
    summary = import_file(path, tmp_path / "out.pcap")
    warnings = {warning.kind: warning for warning in summary.warnings}
    warning = warnings.pop(ABOUT[BAD_LINES[line]].kind)
    assert (warning.count, warning.first_place) == (1, f"{path}, line 3")
    assert (summary.lines, summary.deltas, summary.breaks) == (5, 3, 1)
    assert list(warnings) == [ABOUT[Remark.BREAK].kind]
    assert summary.bad_lines == int(BAD_LINES[line] != Remark.OTHER_SYMBOL)
    with pytest.raises(RecordingError, match="refused by --strict") as caught:
        import_file(path, tmp_path / "strict.pcap", ImportOptions(strict=True))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "strict.pcap").exists()


def test_two_recordings_that_would_get_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    first, second = recorded(tmp_path / "in.txt", GOOD), recorded(tmp_path / "day" / "in.txt", GOOD)
    with pytest.raises(RecordingError, match=r"spot_in\.pcap is the capture of .* already"):
        import_binance([first, second], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_of_which_nothing_can_be_imported_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = recorded(tmp_path / "in.txt", GOOD)
    path.write_text(path.read_text() + "x {}\n")
    reasons = r"nothing in it can be imported: 1 lines that do not begin with a time .*line 2.*; 1 depth deltas dropped"
    with pytest.raises(RecordingError, match=reasons):
        import_file(path, tmp_path / "out.pcap")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.txt"]


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    text = recorded(tmp_path / "in.txt", rest(1), *[depth(n, n) for n in range(2, 3000)]).read_bytes()
    whole = gzip.compress(text)
    flipped, empty = tmp_path / "flipped.gz", tmp_path / "empty.gz"
    flipped.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    empty.write_bytes(gzip.compress(b""))
    for path, reason in (
        (flipped, "damaged"),
        (empty, "is empty"),
        (tmp_path / "no", "can't be read"),
    ):
        with pytest.raises(RecordingError, match=reason):
            import_file(path, tmp_path / "out.pcap")
    assert not (tmp_path / "out.pcap").exists()


def test_plain_gzip_members_and_zstd_give_the_same_bytes(tmp_path: Path) -> None:
    plain = recorded(tmp_path / "in.txt", rest(1), *[depth(n, n, [("9.00", str(n))]) for n in range(2, 20_000)])
    text = plain.read_bytes().removesuffix(b"\n")  # the last line may lack its end
    plain.write_bytes(text)
    half = len(text) // 2
    members, packed = tmp_path / "in.gz", tmp_path / "in.zst"
    members.write_bytes(gzip.compress(text[:half]) + gzip.compress(text[half:]))
    packed.write_bytes(zstandard.compress(text))
    outputs = [
        import_file(path, tmp_path / f"{path.suffix[1:]}.pcap").output.read_bytes() for path in (plain, members, packed)
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) > 1 << 21


def a_slice(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The first lines of each recording, and where its capture goes."""
    for name in RECORDINGS:
        with gzip.open(recording(f"binance/{name}_20240808.gz")) as lines:
            text = b"".join(next(lines) for _ in range(250))
        path = folder / f"{name.replace('/', '_')}.txt"
        path.write_bytes(text)
        yield path, path.with_suffix(".pcap")


def import_slices(folder: Path) -> list[bytes]:
    return [import_file(source, output).output.read_bytes() for source, output in a_slice(folder)]


def test_uncompiled_gives_the_same(tmp_path: Path) -> None:
    expected = sorted(import_slices(tmp_path))  # skips or fails here, not in the child
    (tmp_path / "uncompiled").mkdir()
    script = (
        "import sys, pathlib; from tests.venues.bridge.test_binance_import import import_slices; "
        "import_slices(pathlib.Path(sys.argv[1]))"
    )
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "uncompiled")], cwd=ROOT, env=environment, check=True, timeout=120
    )
    written = [path.read_bytes() for path in sorted((tmp_path / "uncompiled").glob("*.pcap"))]
    assert sorted(written) == expected
    assert len(written) == len(RECORDINGS)
