"""What recordings of the field look like when they are not as the manual says: each kind, and what becomes of it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from crosswire.nic.warning import DataWarning
from crosswire.venues.bridge.binance.importer import ImportOptions, ImportSummary, import_binance, import_file
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import ABOUT, Remark
from crosswire.venues.bridge.binance.text import RecordingError
from tests.support.binance_import import best, decoded, header_times

MS = 1_000_000
BASE_MS = 1_772_000_000_000
NAME = "btcusdt@depth@0ms"


def line(at_ms: int, message: Any, unit: int = MS) -> str:
    """A line received `at_ms` after the first."""
    text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
    return f"{(BASE_MS + at_ms) * unit} {text}"


def rest(last: int = 50, **more: Any) -> dict[str, Any]:
    """A snapshot of futures, best 500.0 and 500.1."""
    sides = {"bids": [["500.0", "1.000"], ["499.9", "2.000"]], "asks": [["500.1", "1.000"], ["500.2", "2.000"]]}
    return {"lastUpdateId": last, **sides, "E": BASE_MS, "T": BASE_MS} | more


def spot_rest(last: int, bids: int, asks: int) -> dict[str, Any]:
    """A snapshot of spot, or its partial depth, which looks the same."""
    return {
        "lastUpdateId": last,
        "bids": [[f"{500 - n}.00", "1"] for n in range(bids)],
        "asks": [[f"{501 + n}.00", "1"] for n in range(asks)],
    }


def delta(
    at_ms: int, ids: tuple[int, int, int | None], size: str = "3.000", name: str | None = NAME, **more: Any
) -> dict[str, Any]:
    """A depth message with (U, u, pu) that sets the bid of 500.0; spot has no `pu`."""
    first, last, previous = ids
    times = {"E": BASE_MS + at_ms} | ({} if previous is None else {"T": BASE_MS + at_ms, "pu": previous})
    message = (
        {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last, "b": [["500.0", size]], "a": []} | times | more
    )
    return message if name is None else {"stream": name, "data": message}


def trade(at_ms: int, **more: Any) -> dict[str, Any]:
    times = {"E": BASE_MS + at_ms, "T": BASE_MS + at_ms}
    shape = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "500.1", "q": "1.000", "X": "MARKET", "m": False}
    return {"stream": "btcusdt@trade", "data": shape | times | more}


GOOD = [line(0, rest()), line(100, delta(100, (51, 52, 50))), line(200, delta(200, (53, 55, 52), "4.000"))]
SPOT_GOOD = [
    line(0, spot_rest(50, 30, 30)),
    line(100, delta(100, (51, 52, None), name="btcusdt@depth@100ms")),
    line(200, delta(200, (53, 55, None), "4.000", name="btcusdt@depth@100ms")),
]


def written(folder: Path, lines: list[str], name: str = "in.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{each}\n" for each in lines))
    return path


def run(folder: Path, lines: list[str], **options: Any) -> ImportSummary:
    return import_file(written(folder, lines), folder / "out.pcap", ImportOptions(**options))


def told(summary: ImportSummary) -> dict[str, tuple[int, str]]:
    """The warnings, as counts and lines by kind."""
    return {each.kind: (each.count, each.first_place.rpartition(", line ")[2]) for each in summary.warnings}


def kind(remark: Remark) -> str:
    return ABOUT[remark].kind


# Lines that stand behind good ones, and what they are counted as; the book stays as it was.
BESIDE: dict[str, tuple[Any, Remark]] = {
    "partial depth by name": (delta(0, (61, 70, 55), name="btcusdt@depth5@100ms"), Remark.PARTIAL_DEPTH),
    "partial depth without speed": (delta(0, (61, 70, 55), name="btcusdt@depth20"), Remark.PARTIAL_DEPTH),
    "rpi depth": (delta(0, (56, 70, 55), name="btcusdt@rpiDepth@500ms"), Remark.RPI_DEPTH),
    "a second depth stream": (delta(0, (51, 57, 47), name="btcusdt@depth@500ms"), Remark.SECOND_DEPTH),
    "a second depth stream without speed": (delta(0, (51, 57, 47), name="btcusdt@depth"), Remark.SECOND_DEPTH),
    "a second depth stream without a name": (delta(0, (54, 57, 53), name=None), Remark.SECOND_DEPTH),
    "aggregate trade": (
        {"e": "aggTrade", "E": 1, "s": "BTCUSDT", "a": 1, "p": "500.0", "q": "1", "f": 1, "l": 2, "T": 1, "m": True},
        Remark.AGGREGATE_TRADE,
    ),
    "a list of tickers": ({"stream": "!ticker@arr", "data": [{"e": "24hrTicker", "s": "BTCUSDT"}]}, Remark.LIST),
    "a bare list": ([{"e": "24hrTicker", "s": "BTCUSDT"}, []], Remark.LIST),
    "an empty list": ([], Remark.LIST),
    "an order's report": (
        {"e": "executionReport", "E": BASE_MS, "s": "BTCUSDT", "c": "x", "t": -1, "T": BASE_MS, "m": False},
        Remark.ACCOUNT,
    ),
    "a futures order's report": (
        {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": {"s": "BTCUSDT", "t": 0, "b": "0", "a": "9.91"}},
        Remark.ACCOUNT,
    ),
    "an account update, sorted": (
        {"E": 1, "a": {"B": [], "m": "ORDER", "u": 3}, "e": "ACCOUNT_UPDATE"},
        Remark.ACCOUNT,
    ),
    "index price": ({"e": "indexPriceUpdate", "E": BASE_MS, "i": "BTCUSD", "p": "500.123"}, Remark.INDEX_PRICE),
    "a liquidation": (
        {"e": "forceOrder", "E": 1, "o": {"s": "BTCUSDT", "p": "9910", "q": "0.014"}},
        Remark.FORCED_ORDER,
    ),
    "a candlestick": ({"e": "kline", "s": "BTCUSDT", "b": 5, "k": {"t": [1, ']}\\"'], "o": "x"}}, Remark.KLINE),
    "a transfer": (trade(0, X="INSURANCE_FUND", p="0"), Remark.TRANSFER),
    "an error": ({"code": -1121, "msg": "Invalid symbol."}, Remark.ERROR),
    "an error by id": ({"id": 2, "status": 400, "error": {"code": -2, "msg": ""}}, Remark.ERROR),
    "something new": ({"stream": "btcusdt@novelty", "data": {"x": {"y": [1]}}}, Remark.UNKNOWN),
    "a new event": ({"e": "novelty", "s": "BTCUSDT", "U": "?"}, Remark.UNKNOWN),
    "another symbol": (
        {"e": "bookTicker", "u": 1, "s": "ETHUSDT", "b": "1", "B": "1", "a": "2", "A": "1", "T": 1, "E": 1},
        Remark.OTHER_SYMBOL,
    ),
    "a blank line": (None, Remark.BLANK),
}


# Which of two streams is the second, what came before it tells.
PLACES = [(name, place) for name in BESIDE for place in (0, 1, 3) if place == 3 or "second" not in name]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_what_is_not_imported_is_counted_by_what_it_is(name: str, place: int, tmp_path: Path) -> None:
    message, remark = BESIDE[name]
    at_ms = [0, 50, 0, 300][place]
    text = "" if message is None else line(at_ms, message)
    summary = run(tmp_path, [*GOOD[:place], text, *GOOD[place:]])
    assert told(summary) == {kind(remark): (1, str(place + 1))}
    assert (summary.lines, summary.deltas, summary.snapshots, summary.breaks) == (4, 2, 1, 0)
    is_other = remark not in (Remark.OTHER_SYMBOL, Remark.BLANK)
    assert (summary.other_streams, summary.bad_lines) == (int(is_other), int(remark == Remark.BLANK))
    assert best(decoded(summary.output)[1].books[0]) == ((5000, 4000), (5001, 1000))


def test_answers_to_subscriptions_are_counted_and_no_warning(tmp_path: Path) -> None:
    summary = run(tmp_path, [line(0, {"result": None, "id": 1}), *GOOD])
    assert (summary.other_streams, summary.warnings, summary.deltas) == (1, [], 2)


@pytest.mark.parametrize(
    "message",
    [
        rest(),
        {"id": "1", "status": 200, "result": rest(), "rateLimits": [{"limit": 1}]},
        {"data": rest(), "stream": "btcusdt@depth"},
        {"snapshot": {"data": rest()}, "at": 1},
        {"meta": {}, "depth": rest()},
        {"stream": 1, "data": rest()},
    ],
)
def test_a_snapshot_is_found_in_any_wrapper(message: Any, tmp_path: Path) -> None:
    summary = run(tmp_path, [line(0, message), *GOOD[1:]])
    assert (summary.snapshots, summary.deltas, summary.warnings) == (1, 2, [])


def test_new_fields_do_not_make_a_stream_another_markets(tmp_path: Path) -> None:
    lines = [GOOD[0], line(100, delta(100, (51, 52, 50), ps="BTCUSDT", st=1, zz={"q": [1]}, rpi="9"))]
    summary = run(tmp_path, lines)
    assert (summary.market, summary.symbol, summary.deltas, summary.warnings) == ("usdm", "BTCUSDT", 1, [])
    dated = {"s": "BTCUSDT_260626", "ps": "BTCUSDT"}
    lines = [line(0, rest()), line(100, delta(100, (51, 52, 50), **dated))]
    assert run(tmp_path, lines).market == "usdm"
    lines = [line(0, rest()), line(100, delta(100, (51, 52, 50), s="BTCUSD_PERP"))]  # `ps` may go, too
    assert run(tmp_path, lines).market == "coinm"


def test_only_partial_depth_is_refused_in_one_line(tmp_path: Path) -> None:
    lines = [line(0, rest()), line(100, delta(100, (51, 60, 50), name="btcusdt@depth5@100ms"))]
    with pytest.raises(RecordingError, match=r"no changes of the book, only 1 lines of partial depth.*line 2"):
        run(tmp_path, lines)
    assert [each.name for each in tmp_path.iterdir()] == ["in.txt"]
    lines = [line(0, {"stream": "btcusdt@depth20@100ms", "data": spot_rest(50, 20, 20)})]
    with pytest.raises(RecordingError, match="nothing in it can be imported: 1 lines of partial depth"):
        run(tmp_path, lines)


def test_partial_depth_without_a_name_never_makes_a_crossed_book(tmp_path: Path) -> None:
    def partial(at_ms: int, ids: tuple[int, int, int], bid: str, ask: str) -> str:
        return line(at_ms, delta(at_ms, ids, name=None, b=[[bid, "1"]], a=[[ask, "1"]]))

    risen = [
        line(0, rest()),
        partial(100, (51, 60, 50), "501.0", "501.1"),
        partial(200, (61, 70, 60), "502.0", "502.1"),
    ]
    with pytest.raises(RecordingError, match="none of its 2 depth updates removes a level, so it is partial depth"):
        run(tmp_path, risen)
    quiet = [line(0, rest()), *(partial(n, (n + 50, n + 50, n + 49), "500.0", "500.1") for n in range(1, 25))]
    with pytest.raises(RecordingError, match="so it is partial depth"):
        run(tmp_path, quiet)
    assert run(tmp_path, quiet[:10]).deltas == 9  # too few to tell, and no harm done


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_spots_partial_depth_does_not_replace_the_book(levels: int, tmp_path: Path) -> None:
    partial = [line(150 + n, spot_rest(100 + n, levels, levels)) for n in range(3)]
    full = line(160, spot_rest(54, 500, 500))
    behind = line(300, delta(300, (56, 57, None), "5.000", name="btcusdt@depth@100ms"))
    for lines in ([*SPOT_GOOD, *partial, behind], [*partial, *SPOT_GOOD[1:], full, behind], [full, *partial, behind]):
        summary = run(tmp_path, lines)
        book = decoded(summary.output)[1].books[0]
        assert (summary.other_streams, summary.snapshots) == (3, 1)
        assert told(summary)[kind(Remark.PARTIAL_DEPTH)][0] == 3
        assert book.bid_levels > levels


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_spots_partial_depth_does_not_replace_a_book_that_is_no_fuller(levels: int, tmp_path: Path) -> None:
    partial = [line(250 + n, spot_rest(100 + n, levels, levels)) for n in range(3)]
    behind = line(300, delta(300, (56, 57, None), "5.000", name="btcusdt@depth@100ms"))
    summary = run(tmp_path, [line(0, spot_rest(50, levels, levels)), *SPOT_GOOD[1:], *partial, behind])
    assert (summary.other_streams, summary.snapshots, summary.deltas, summary.breaks) == (3, 1, 3, 0)


def test_a_delta_of_the_same_stream_that_overlaps_goes_on_from_where_the_book_is(tmp_path: Path) -> None:
    summary = run(tmp_path, [*GOOD, line(300, delta(300, (54, 57, 53), "7.000")), line(400, delta(400, (58, 58, 57)))])
    feed, market = decoded(summary.output)
    assert (summary.deltas, summary.breaks, feed.continuity_breaks, summary.warnings) == (4, 0, 0, [])
    assert (best(market.books[0]), market.books[0].update_id) == (((5000, 3000), (5001, 1000)), 58)


def test_of_several_depth_streams_the_one_that_continues_is_kept(tmp_path: Path) -> None:
    lines = [line(0, rest())]
    for n in range(10):
        lines.append(line(n * 100 + 1, delta(n * 100, (51 + n, 51 + n, 50 + n), name="btcusdt@depth@100ms")))
        if n % 5 == 4:
            lines.append(line(n * 100 + 2, delta(n * 100, (47 + n, 51 + n, 46 + n), name="btcusdt@depth@500ms")))
    summary = run(tmp_path, lines)
    assert (summary.deltas, summary.other_streams, summary.breaks) == (10, 2, 0)
    assert told(summary) == {kind(Remark.SECOND_DEPTH): (2, "7")}
    slow_first = [lines[0], lines[6], *lines[1:6], *lines[7:]]
    summary = run(tmp_path, slow_first)
    assert (summary.deltas, summary.other_streams, summary.breaks) == (2, 10, 0)
    assert decoded(summary.output)[1].books[0].update_id == 60


def test_a_second_depth_stream_takes_over_when_the_first_has_ended(tmp_path: Path) -> None:
    follows = [delta(n, (56 + n, 56 + n, 55 + n), name="btcusdt@depth@100ms") for n in range(300)]
    lines = [*GOOD, *(line(300 + n, each) for n, each in enumerate(follows)), line(700, rest(600))]
    lines += [line(800, delta(800, (601, 602, 600), "7.000", name="btcusdt@depth@100ms"))]
    summary = run(tmp_path, lines)
    assert summary.breaks == 1  # told, not silent
    assert best(decoded(summary.output)[1].books[0]) == ((5000, 7000), (5001, 1000))


def test_depth_of_two_symbols_with_snapshots_that_name_none_is_refused(tmp_path: Path) -> None:
    other = line(50, delta(50, (7, 8, 6), s="ETHUSDT", name="ethusdt@depth@0ms"))
    with pytest.raises(RecordingError, match=r"1 lines of other symbols.*no snapshot says whose it is"):
        run(tmp_path, [GOOD[0], other, *GOOD[1:]])
    named = line(0, rest(symbol="BTCUSDT"))
    summary = run(tmp_path, [named, other, *GOOD[1:]])
    assert (summary.other_symbols, summary.deltas) == (1, 2)
    stray = line(0, {"stream": "ethusdt@depth", "data": rest(9000)})
    assert run(tmp_path, [stray, *GOOD]).other_symbols == 1


def test_a_market_that_the_lines_are_not_of_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="2 lines of another market"):
        run(tmp_path, GOOD[1:], market=Market.SPOT)
    with pytest.raises(RecordingError, match="BTCUSDT is no symbol of coinm"):
        run(tmp_path, GOOD, market=Market.COINM)


def test_prices_and_sizes_off_the_grid(tmp_path: Path) -> None:
    sides = {"b": [["500.0", "3.000"], ["33.333", "1.000"], ["33.3", "1.0005"]]}
    summary = run(tmp_path, [GOOD[0], line(100, delta(100, (51, 52, 50), **sides)), GOOD[2]])
    assert (summary.levels_off_tick, summary.sizes_rounded, summary.levels, summary.breaks) == (1, 1, 7, 0)
    assert told(summary) == {kind(Remark.LEVEL_OFF_TICK): (1, "2"), kind(Remark.SIZE_ROUNDED): (1, "2")}
    wrong_tick = delta(100, (51, 52, 50), b=[[f"500.0{n}", "1"] for n in range(1, 10)] + [["400.05", "1"]])
    with pytest.raises(RecordingError, match=r"line 2: 10 of 14 prices are no multiple of the tick.*--terms"):
        run(tmp_path, [GOOD[0], line(100, wrong_tick)])
    wrong_lot = delta(100, (51, 52, 50), b=[[f"40{n}.0", "0.0001"] for n in range(10)])
    with pytest.raises(RecordingError, match=r"line 2: 10 of 14 sizes are no multiple of the lot"):
        run(tmp_path, [GOOD[0], line(100, wrong_lot)])


# Text in place of, or around, the second of three lines: what it is counted as, and whether that line is lost.
DAMAGE: dict[str, tuple[bytes, Remark | None, int]] = {
    "not json": (b"%s hello\n", Remark.SYNTAX, 1),
    "a newline in it": (b'%s {"e":"depth\nUpdate"}\n', Remark.SYNTAX, 1),
    "no time": (b"{}\n", Remark.TIME, 1),
    "time before 2009": (b"1000000000000000000 {}\n", Remark.TIME_RANGE, 1),
    "time after 2100": (b"5000000000000000000 {}\n", Remark.TIME_RANGE, 1),
    "time that wraps": (b"99999999999999999999 {}\n", Remark.TIME_RANGE, 1),
    "bytes that are no text": (b'\xff\xfe\x80 {"a":1}\n', Remark.TIME, 1),
    "bytes that are no text, in the JSON": (b"%s \xff\xfe{}\n", Remark.SYNTAX, 1),
    "bytes that are no text, in a key": (b'%s {"\xfflastUpdateId":1,"bids":[]}\n', Remark.SYNTAX, 1),
    "half a letter": (b'%s {"x":"\xc3"}\n', Remark.SYNTAX, 1),
    "letters beyond ASCII": ('%s {"x":"\u00e9\u4e2d\U0001f600"}\n'.encode(), Remark.UNKNOWN, 1),
    "a line of zeros": (b"\0" * 4096 + b"\n", Remark.NUL, 1),
    "a hole that cuts a line": (b'%s {"stream":"btc' + b"\0" * 4096, Remark.NUL, 0),
    "spaces before the time": (b"  ", None, 0),
    "a long line": (b'%s {"a":"' + b"x" * (9 << 20) + b'"}\n', Remark.SYNTAX, 1),
    "a long line without end": (b"%s " + b" " * (9 << 20) + b"\n", Remark.SYNTAX, 1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_costs_the_line_that_it_is_in_and_no_other(name: str, tmp_path: Path) -> None:
    damage, remark, more_lines = DAMAGE[name]
    text = damage.replace(b"%s", str(BASE_MS * MS).encode())
    path = tmp_path / "in.txt"
    path.write_bytes(GOOD[0].encode() + b"\n" + text + "\n".join(GOOD[1:]).encode() + b"\n")
    summary = import_file(path, tmp_path / "out.pcap")
    extra = 2 if name == "a newline in it" else more_lines
    assert (summary.lines, summary.deltas, summary.breaks) == (3 + extra, 2, 0)
    if remark is None:
        assert summary.warnings == []
    elif name == "a newline in it":
        assert told(summary) == {kind(Remark.SYNTAX): (1, "2"), kind(Remark.TIME): (1, "3")}
    else:
        assert told(summary) == {kind(remark): (1, "2")}


@pytest.mark.parametrize("cut", [1, 5, 20, 60, 150])
def test_a_cut_last_line_is_told_as_such(cut: int, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    path.write_bytes(path.read_bytes() + line(300, delta(300, (56, 57, 55))).encode()[:cut])
    summary = import_file(path, tmp_path / "out.pcap")
    assert (summary.deltas, summary.bad_lines, told(summary)) == (2, 1, {kind(Remark.CUT): (1, "4")})


def test_line_ends_of_windows_a_mark_at_the_beginning_and_no_end_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(GOOD).encode())
    summary = import_file(path, tmp_path / "out.pcap")
    assert (summary.lines, summary.deltas, summary.warnings) == (3, 2, [])


def packings(text: bytes) -> dict[str, tuple[bytes, list[Remark], int]]:
    """The same text as files have it: what is to be told, and how many deltas are left."""
    half = len(text) // 2
    gzipped, zstd = gzip.compress(text), zstandard.compress(text)
    many = b"".join(gzip.compress(text[at : at + 100]) for at in range(0, len(text), 100))
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    return {
        "zeros behind gzip": (gzipped + b"\0" * 300, [], 2),
        "zeros between members": (gzip.compress(text[:half]) + b"\0" * 70_000 + gzip.compress(text[half:]), [], 2),
        "many members": (many, [], 2),
        "garbage behind gzip": (gzipped + b"garbage", [Remark.GARBAGE], 2),
        "a little garbage": (gzipped + b"\0\0x", [Remark.GARBAGE], 2),
        "zeros behind zstd": (zstd + b"\0" * 9000, [], 2),
        "zstd frames": (
            skippable + zstandard.compress(text[:half]) + skippable + zstandard.compress(text[half:]),
            [],
            2,
        ),
        "garbage behind zstd": (zstd + b"garbage", [Remark.GARBAGE], 2),
        "gzip cut in its trailer": (gzipped[:-4], [Remark.CUT_FILE], 2),
        "zeros behind text": (text + b"\0" * 9000, [Remark.NUL], 2),
    }


@pytest.mark.parametrize("name", packings(b"x"))
def test_padding_members_and_cut_ends_of_compressed_files(name: str, tmp_path: Path) -> None:
    data, remarks, deltas = packings("".join(f"{each}\n" for each in GOOD).encode())[name]
    path = tmp_path / "in.packed"
    path.write_bytes(data)
    summary = import_file(path, tmp_path / "out.pcap")
    assert summary.deltas == deltas
    assert [each.kind for each in summary.warnings] == [kind(remark) for remark in remarks]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_is_cut_gives_what_is_there(pack: Any, tmp_path: Path) -> None:
    ids = range(51, 20_000)
    lines = [line(0, rest()), *(line(n, delta(n, (n, n, n - 1), f"{n % 977 + 1}.{n % 31}00")) for n in ids)]
    whole = pack("".join(f"{each}\n" for each in lines).encode())
    path = tmp_path / "in.packed"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    summary = import_file(path, tmp_path / "out.pcap")
    assert 2_000 < summary.deltas < len(ids)
    assert {kind(Remark.CUT_FILE)} <= told(summary).keys() <= {kind(Remark.CUT_FILE), kind(Remark.CUT)}
    with pytest.raises(RecordingError, match="refused by --strict"):
        import_file(path, tmp_path / "strict.pcap", ImportOptions(strict=True))


def test_warnings_have_one_form(tmp_path: Path) -> None:
    summary = run(tmp_path, [*GOOD, "", ""])
    path = tmp_path / "in.txt"
    assert summary.warnings == [
        DataWarning(
            kind="blank lines",
            count=2,
            first_place=f"{path}, line 4",
            what_to_do=ABOUT[Remark.BLANK].what_to_do,
        )
    ]


# What the two lines after the first are received at, in ms, and the times that their packets have.
UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_of_times_is_told_from_their_size(unit: str, tmp_path: Path) -> None:
    per_s = UNITS[unit]
    seconds = [BASE_MS // 1000, BASE_MS // 1000 + 1]
    message = delta(1000, (51, 52, 50), E=seconds[1] * per_s, T=seconds[1] * per_s)
    lines = [f"{seconds[0] * per_s} {json.dumps(rest())}", f"{seconds[1] * per_s}.25 {json.dumps(message)}"]
    summary = run(tmp_path, lines)
    times = header_times(summary.output)
    assert (times[0], times[-1]) == (seconds[0] * 10**9, seconds[1] * 10**9 + 10**9 // per_s // 4)
    assert decoded(summary.output)[1].books[0].exchange_time_ns == seconds[1] * 10**9
    assert summary.warnings == []


@pytest.mark.parametrize("time", [1, 1_000_000_000, 5_000_000_000_000, 9_999_999_999_999_999_999])
def test_an_exchange_time_that_can_not_be_is_left_out_and_told(time: int, tmp_path: Path) -> None:
    lines = [GOOD[0], line(100, delta(100, (51, 52, 50), E=time, T=time))]
    if time > 1 << 63:
        summary = run(tmp_path, [*lines, *GOOD[2:]])
        assert told(summary) == {kind(Remark.RANGE): (1, "2"), kind(Remark.BREAK): (1, "3")}
        return
    summary = run(tmp_path, [*lines, *GOOD[2:]])
    assert told(summary) == {kind(Remark.EXCHANGE_TIME): (1, "2")}
    assert summary.deltas == 2


def test_an_exchange_time_that_leaps_is_left_out_and_told(tmp_path: Path) -> None:
    lines = [*GOOD, line(300, delta(30 * 86_400_000, (56, 57, 55))), line(400, delta(400, (58, 58, 57)))]
    summary = run(tmp_path, lines)
    assert (summary.deltas, told(summary)) == (4, {kind(Remark.EXCHANGE_LEAP): (1, "4")})
    assert header_times(summary.output)[-2:] == [(BASE_MS + 300) * MS, (BASE_MS + 400) * MS]
    assert decoded(summary.output)[1].books[0].exchange_time_ns == (BASE_MS + 400) * MS


DAY = 86_400_000
# Local times of lines, in ms after the first; what their packets have; what is told of which line. With the exchange's
# time in each, and then without.
CLOCKS: dict[str, tuple[list[int], list[int], dict[Remark, tuple[int, str]]]] = {
    "ahead for one line": ([0, 100, 30 * DAY, 300, 400], [0, 100, 200, 300, 400], {Remark.LEAP: (1, "3")}),
    "back for one line": ([0, 100, -30 * DAY, 300, 400], [0, 100, 200, 300, 400], {Remark.LEAP: (1, "3")}),
    "ahead for the first": ([30 * DAY, 100, 200], [100, 100, 200], {Remark.LEAP: (1, "1")}),
    "back for the first": ([-30 * DAY, 100, 200], [100, 100, 200], {Remark.LEAP: (1, "1")}),
    "ahead for the last": ([0, 100, 30 * DAY], [0, 100, 200], {Remark.LEAP: (1, "3")}),
    "set back": (
        [0, 100, 200 - DAY, 300 - DAY, 400 - DAY],
        [0, 100, 200, 300, 400],
        {Remark.CLOCK_SET: (1, "3")},
    ),
    "set ahead and right again": (
        [0, 100, 200 + DAY, 300 + DAY, 400, 500],
        [0, 100, 200, 300, 400, 500],
        {Remark.CLOCK_SET: (1, "3")},
    ),
    "a little back": ([0, 100, 90, 110], [0, 100, 100, 110], {Remark.STEP_BACK: (1, "3")}),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_times_that_leap_are_told_and_mended(name: str, tmp_path: Path) -> None:
    local, expected, remarks = CLOCKS[name]
    lines = [line(local[0], rest())]
    for place, at_ms in enumerate(local[1:], 1):
        lines.append(line(at_ms, delta(expected[place], (50 + place, 50 + place, 49 + place))))
    summary = run(tmp_path, lines)
    assert header_times(summary.output)[1:] == [(BASE_MS + at_ms) * MS for at_ms in expected]
    assert told(summary) == {kind(remark): where for remark, where in remarks.items()}
    assert (summary.deltas, summary.breaks) == (len(local) - 1, 0)


@pytest.mark.parametrize(
    ("local", "expected", "remarks"),
    [
        ([0, 100, 30 * DAY, 300, 400], [0, 100, 100, 300, 400], {Remark.LEAP: (1, "3")}),
        ([0, 100, 30 * DAY, 31 * DAY, 400], [0, 100, 100, 100, 400], {Remark.LEAP: (2, "3")}),
        ([0, 100, -30 * DAY, 300, 400], [0, 100, 100, 300, 400], {Remark.LEAP: (1, "3")}),
        ([0, 100, 5 * DAY, 5 * DAY + 100], [0, 100, 5 * DAY, 5 * DAY + 100], {}),  # a silence
        ([0, 100, 200 - DAY, 300 - DAY, 400 - DAY], [0, 100, 100, 200, 300], {Remark.CLOCK_SET: (1, "3")}),
    ],
)
def test_without_the_exchanges_time_the_neighbours_tell(
    local: list[int], expected: list[int], remarks: dict[Remark, tuple[int, str]], tmp_path: Path
) -> None:
    lines = [
        line(at_ms, {"u": n, "s": "BTCUSDT", "b": "500.00", "B": "1", "a": "500.01", "A": "1"})
        for n, at_ms in enumerate(local, 1)
    ]
    summary = run(tmp_path, lines)
    assert header_times(summary.output)[1:] == [(BASE_MS + at_ms) * MS for at_ms in expected]
    assert told(summary) == {kind(remark): where for remark, where in remarks.items()}


def test_a_silence_is_a_silence(tmp_path: Path) -> None:
    lines = [*GOOD, line(5 * DAY, delta(5 * DAY, (56, 57, 55))), line(5 * DAY + 9, delta(5 * DAY, (58, 58, 57)))]
    summary = run(tmp_path, lines)
    assert header_times(summary.output)[-2:] == [(BASE_MS + 5 * DAY) * MS, (BASE_MS + 5 * DAY + 9) * MS]
    assert summary.warnings == []


DAY_1 = [line(0, rest()), line(100, delta(100, (51, 51, 50), "1.000")), line(200, delta(200, (52, 52, 51), "2.000"))]
DAY_2 = [line(100 * n, delta(100 * n, (50 + n, 50 + n, 49 + n), f"{n}.000")) for n in (3, 4, 5)]


@pytest.mark.parametrize("order", [("1.txt", "2.txt"), ("2.txt", "1.txt")])
def test_recordings_that_follow_each_other_hand_on_their_book(order: tuple[str, str], tmp_path: Path) -> None:
    paths = {"1.txt": written(tmp_path, DAY_1, "1.txt"), "2.txt": written(tmp_path, DAY_2, "2.txt")}
    summaries = import_binance([paths[name] for name in order], tmp_path / "out")
    assert [each.source.name for each in summaries] == list(order)
    assert sum(each.deltas for each in summaries) == 5
    assert all(each.warnings == [] for each in summaries)
    first, second = sorted(summaries, key=lambda each: each.source)
    alone = decoded(second.output)[1].books[0]  # each is whole by itself
    assert (best(alone), alone.valid, alone.bid_levels, alone.ask_levels) == (((5000, 5000), (5001, 1000)), 1, 2, 2)
    feed, market = decoded(first.output, second.output)
    assert (feed.sequence_gaps, feed.duplicates, feed.restarts, feed.continuity_breaks) == (0, 0, 0, 0)
    assert best(market.books[0]) == ((5000, 5000), (5001, 1000))


def test_three_recordings_hand_on_and_an_overlap_is_dropped(tmp_path: Path) -> None:
    day_2 = [DAY_1[2], *DAY_2[:2]]
    paths = [written(tmp_path, lines, f"{n}.txt") for n, lines in enumerate((DAY_1, day_2, DAY_2[2:]))]
    summaries = import_binance(paths, tmp_path / "out")
    assert [(each.deltas, each.dropped, each.breaks) for each in summaries] == [(2, 0, 0), (2, 1, 0), (1, 0, 0)]
    feed, market = decoded(*(each.output for each in summaries))
    assert (feed.continuity_breaks, best(market.books[0])) == (0, ((5000, 5000), (5001, 1000)))


def test_a_gap_between_recordings_ends_the_book_and_is_told(tmp_path: Path) -> None:
    paths = [written(tmp_path, lines, f"{n}.txt") for n, lines in enumerate((DAY_1, DAY_2[1:]))]
    summaries = import_binance(paths, tmp_path / "out")
    assert told(summaries[1]) == {kind(Remark.BREAK): (1, "1")}
    feed, market = decoded(*(each.output for each in summaries))
    assert (feed.sequence_gaps, feed.continuity_breaks, market.books[0].valid) == (0, 1, 0)


def test_two_recordings_of_the_same_time_are_whole_by_themselves(tmp_path: Path) -> None:
    paths = [written(tmp_path, [*DAY_1, line(DAY, delta(DAY, (53, 53, 52)))], name) for name in ("a.txt", "b.txt")]
    summaries = import_binance(paths, tmp_path / "out")
    assert [(each.deltas, each.snapshots, each.breaks) for each in summaries] == [(3, 1, 0)] * 2
    assert summaries[0].output.read_bytes() == summaries[1].output.read_bytes()


def test_all_captures_or_none_and_none_replaced(tmp_path: Path) -> None:
    good, bad = written(tmp_path, GOOD), written(tmp_path, GOOD[1:], "bad.txt")
    folder = tmp_path / "out"
    with pytest.raises(RecordingError, match=r"bad\.txt.*the book was past its 2 depth messages"):
        import_binance([bad, good], folder)
    assert list(folder.iterdir()) == []
    [summary] = import_binance([good], folder)
    before = summary.output.read_bytes()
    good.write_text("\n".join(GOOD[:2]))
    with pytest.raises(FileExistsError, match="exists already: remove it, or name another folder"):
        import_binance([good], folder)
    assert (summary.output.read_bytes(), len(list(folder.iterdir()))) == (before, 1)
