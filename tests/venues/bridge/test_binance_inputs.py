"""Inputs that only look like good recordings: packed files, values that nothing trades at, other JSON for the same."""

import bz2
import gzip
import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

from crosswire.venues.book.book import level_lots
from crosswire.venues.bridge.binance.importer import ImportOptions, import_file
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.binance.terms import Terms
from crosswire.venues.bridge.binance.text import RecordingError
from crosswire.venues.side import ASK, BID
from tests.support.binance_import import best, decoded
from tests.venues.bridge.test_binance_faults import BASE_MS, GOOD, SPOT_GOOD, delta, kind, line, rest, run, told, trade

TEXT = "".join(f"{each}\n" for each in GOOD).encode()
GOOD_BEST = (5000, 4000), (5001, 1000)
NEXT = (56, 57, 55)
TICKER = {"e": "bookTicker", "u": 60, "s": "BTCUSDT", "b": "500.0", "B": "1", "a": "500.1", "A": "1", "E": BASE_MS}

PACKED: dict[str, tuple[bytes, str]] = {
    "xz": (lzma.compress(TEXT), "xz"),
    "bzip2": (bz2.compress(TEXT), "bzip2"),
    "lz4": (b"\x04\x22\x4d\x18" + TEXT, "lz4"),
    "zip": (b"PK\x03\x04" + bytes(26) + TEXT, "unzip"),
    "7-zip": (b"7z\xbc\xaf\x27\x1c" + bytes(64), "7z x"),
    "Parquet": (b"PAR1" + bytes(64), "Parquet"),
    "UTF-16": (TEXT.decode().encode("utf-16"), "iconv"),
    "a capture": (b"\xd4\xc3\xb2\xa1" + bytes(20), "crosswire inspect"),
    "gzip in gzip": (gzip.compress(gzip.compress(TEXT)), "gunzip"),
    "nothing": (b"", "is empty"),
    "nothing, packed": (gzip.compress(b""), "is empty"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_file_that_is_no_text_is_refused_by_what_it_is(name: str, tmp_path: Path) -> None:
    data, word = PACKED[name]
    path = tmp_path / "in.dat"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=rf"in\.dat: is .*{word}|in\.dat: {word}") as caught:
        import_file(path, tmp_path / "out.pcap")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["in.dat"]


def test_a_pipe_is_refused_at_once_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="is a pipe or device; save it as a file first"):
        import_file(tmp_path / "pipe", tmp_path / "out.pcap")


def test_a_byte_order_mark_inside_gzip_does_not_cost_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + TEXT))
    summary = import_file(path, tmp_path / "out.pcap")
    assert (summary.lines, summary.bad_lines, summary.snapshots, summary.warnings) == (3, 0, 1, [])
    assert best(decoded(summary.output)[1].books[0]) == GOOD_BEST


# The same book in JSON that other recorders write.
SPELT = {
    "a tab behind the time": [each.replace(" ", "\t", 1) for each in GOOD],
    "a tab, and spaces in the JSON": [
        each.replace(" ", "\t", 1).replace(",", ", ").replace(":", ": ") for each in GOOD
    ],
    "spaces in levels": [each.replace('["', '[ "').replace('"]', '" ]') for each in GOOD],
    "a third member of levels": [each.replace('"]', '",[]]') for each in GOOD],
    "more members of levels": [each.replace('"]', '", 1, {"n": [2]} ]') for each in GOOD],
}


@pytest.mark.parametrize("name", SPELT)
def test_other_spellings_of_the_same_give_the_same_book(name: str, tmp_path: Path) -> None:
    summary = run(tmp_path, SPELT[name])
    assert (summary.deltas, summary.snapshots, summary.warnings) == (2, 1, [])
    assert best(decoded(summary.output)[1].books[0]) == GOOD_BEST


@pytest.mark.parametrize(
    "sides",
    [
        {"b": [], "a": [["0.0", "3"]]},
        {"b": [["0.0", "3"]], "a": []},
        {"b": [["499.0", "9223372036854.0"]], "a": []},
        {"b": [], "a": [["999999999999999.0", "1"]]},
    ],
    ids=["ask of zero", "bid of zero", "size beyond any", "price beyond any"],
)
def test_a_level_that_no_order_has_is_left_out_and_the_book_kept(sides: dict[str, Any], tmp_path: Path) -> None:
    good = {side: [*levels, ["498.0" if side == "b" else "502.0", "7.000"]] for side, levels in sides.items()}
    summary = run(tmp_path, [*GOOD, line(300, delta(300, NEXT, **good))])
    assert told(summary) == {kind(Remark.LEVEL_VALUE): (1, "4")}
    assert (summary.levels_unreal, summary.deltas) == (1, 3)
    book = decoded(summary.output)[1].books[0]
    assert best(book) == GOOD_BEST
    assert (level_lots(book, BID, 4980), level_lots(book, ASK, 5020)) == (7000, 7000)


def test_the_removal_of_a_level_at_zero_is_nothing_to_tell(tmp_path: Path) -> None:
    assert run(tmp_path, [*GOOD, line(300, delta(300, NEXT, b=[["0.0", "0"]]))]).warnings == []


UNREAL = {
    "a trade at zero": trade(300, p="0.0"),
    "a trade of nothing": trade(300, q="0.000"),
    "a trade beyond any price": trade(300, p="999999999999999.0"),
    "a crossed ticker": TICKER | {"b": "500.2"},
    "a locked ticker": TICKER | {"b": "500.1"},
    "a ticker with something at zero": TICKER | {"b": "0.0"},
    "a crossed snapshot": rest(90) | {"bids": [["500.0", "1"], ["500.1", "1"]]},
}


@pytest.mark.parametrize("name", UNREAL)
def test_a_line_that_nothing_trades_at_is_left_out(name: str, tmp_path: Path) -> None:
    summary = run(tmp_path, [*GOOD, line(300, UNREAL[name])])
    assert told(summary) == {kind(Remark.VALUE): (1, "4")}
    assert (summary.trades, summary.quotes, summary.snapshots, summary.bad_lines) == (0, 0, 1, 1)
    assert best(decoded(summary.output)[1].books[0]) == GOOD_BEST


def test_a_ticker_with_an_empty_side_is_one(tmp_path: Path) -> None:
    summary = run(tmp_path, [*GOOD, line(300, TICKER | {"b": "0.0", "B": "0"})])
    assert (summary.quotes, summary.warnings) == (1, [])


@pytest.mark.parametrize("time", ['"1772000000300"', None], ids=["a text", "none"])
def test_an_event_without_a_time_that_can_be_read_is_told(time: str | None, tmp_path: Path) -> None:
    message = delta(300, (56, 57, None), name=None)
    message = {key: value for key, value in message.items() if key != "E"}
    text = json.dumps(message) if time is None else json.dumps(message)[:-1] + f', "E": {time}}}'
    lines = [*SPOT_GOOD[:1], line(300, text.replace('"U": 56', '"U": 51'))]
    summary = run(tmp_path, lines)
    assert (summary.deltas, told(summary)) == (1, {kind(Remark.EXCHANGE_TIME): (1, "2")})


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("tick", "1e30", "too large"),
        ("lot", "2e9", "at most"),
        ("tick", "NaN", "no decimal number"),
        ("contract", "Infinity", "no decimal number"),
        ("maker_fee", "1e20", "too large"),
    ],
)
def test_terms_that_can_not_be_are_refused_in_one_line(name: str, value: str, why: str, tmp_path: Path) -> None:
    good = {"tick": "0.1", "lot": "0.001", "maker_fee": "0", "taker_fee": "0"}
    terms = {(Market.USDM, "BTCUSDT"): Terms("BTC", "USDT", "USDT", **(good | {name: value}))}
    (tmp_path / "in.txt").write_bytes(TEXT)
    with pytest.raises(RecordingError, match=f"{name}='{value}' .*{why}"):
        import_file(tmp_path / "in.txt", tmp_path / "out.pcap", ImportOptions(terms=terms))


def test_update_ids_that_begin_anew_end_the_book_until_a_snapshot(tmp_path: Path) -> None:
    anew = [line(10_000, delta(10_000, (1, 2, 0), "7.000")), line(10_100, delta(10_100, (3, 4, 2), "8.000"))]
    summary = run(tmp_path, [*GOOD, *anew])
    assert told(summary) == {kind(Remark.ID_RESET): (1, "4")}
    assert (summary.breaks, decoded(summary.output)[1].books[0].valid) == (1, 0)
    mended = run(tmp_path, [*GOOD, *anew, line(10_200, rest(3)), line(10_300, delta(10_300, (5, 6, 4), "9.000"))])
    assert told(mended) == {kind(Remark.ID_RESET): (1, "4")}
    assert best(decoded(mended.output)[1].books[0]) == ((5000, 9000), (5001, 1000))


def test_a_late_copy_of_deltas_is_no_new_beginning(tmp_path: Path) -> None:
    later = [line(20_000, delta(20_000, NEXT, "5.000")), GOOD[1], GOOD[2]]
    copies = [each.replace(each.split(" ", 1)[0], line(20_100, "").strip(), 1) for each in later[1:]]
    summary = run(tmp_path, [*GOOD, later[0], *copies])
    assert (summary.dropped, summary.breaks) == (2, 0)
    assert best(decoded(summary.output)[1].books[0]) == ((5000, 5000), (5001, 1000))
