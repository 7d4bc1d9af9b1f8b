"""`crosswire inspect --venue deribit`: the sample capture as plain data, tables, configuration and message listing."""

import io
import json
import re
import tomllib
from collections import Counter
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from rich.console import Console

from crosswire.engine.config import ConfigError
from crosswire.engine.inspect import (
    describe_messages,
    describe_packet,
    find_venue,
    inspect_captures,
    instrument_toml,
    plain,
    print_inspection,
)
from crosswire.nic.packet import PROTOCOL_UDP, Packet
from crosswire.nic.rings.replay import Replay
from tests.support.deribit_setup import SAMPLE_MESSAGES, reference
from tests.support.guard import GuardedBytes
from tests.support.paths import recording

CAPTURE = "deribit/sample_capture_v1_6.pcapng"


@cache
def inspected() -> dict[str, Any]:
    return inspect_captures([recording(CAPTURE)], "deribit")


def test_figures_are_the_published_ones() -> None:
    result = inspected()
    assert (result["packets"], result["gaps"], result["duplicates"], result["continuity_breaks"]) == (5066, 0, 0, 0)
    assert {name: count for name, count in result["messages"].items() if count} == SAMPLE_MESSAGES
    assert result["snapshots"] == {"loaded": 84, "agreed": 110, "disagreed": 0, "behind": 0, "incomplete": 0}
    assert result["ticker"] == {"checks": 3262, "mismatches": 0}  # see test_deribit_feed for the published 3,261
    assert {row["id"] for row in result["channels"]} == {0, 1, 2, 3, 4, 10, 11, 21, *range(101, 122)}
    assert sum(row["packets"] for row in result["channels"]) == 5066
    assert result["capture"]["frames"] == result["capture"]["udp"] == 5066
    assert 80.7 <= (result["last_time_ns"] - result["first_time_ns"]) / 1e9 < 80.8
    assert json.loads(json.dumps(result)) == result


def test_every_book_equals_the_plain_decoders() -> None:
    truth = reference()
    books = inspected()["books"]
    assert len(books) == 84
    for venue_id, symbol in truth.symbols.items():
        asks, bids = truth.books[venue_id].sides
        best_bid = max(bids.items(), default=None)
        best_ask = min(asks.items(), default=None)
        assert books[symbol] == {
            "valid": True,
            "bid": list(best_bid) if best_bid else None,
            "ask": list(best_ask) if best_ask else None,
            "bids": len(bids),
            "asks": len(asks),
        }


def test_instruments_can_be_pasted_into_a_configuration() -> None:
    rows = tomllib.loads(instrument_toml(inspected()), parse_float=Decimal)["venue"]["instrument"]
    assert len(rows) == 84
    (row,) = [row for row in rows if row["symbol"] == "ETH_USDC-PERPETUAL"]
    assert row == {
        "symbol": "ETH_USDC-PERPETUAL",
        "kind": "perpetual",
        "payoff": "linear",
        "underlying": "ETH",
        "base": "ETH",
        "quote": "USDC",
        "settlement": "USDC",
        "tick": Decimal("0.1"),
        "lot": Decimal("0.01"),
        "contract": Decimal("0.01"),
        "maker_fee_bps": 0,
        "taker_fee_bps": 5,
    }


@pytest.mark.parametrize(
    ("amount_e9", "text"), [(0, "0"), (100_000, "0.0001"), (10**10, "10"), (-2_500_000_000, "-2.5")]
)
def test_amounts_are_exact_decimals(amount_e9: int, text: str) -> None:
    assert plain(amount_e9) == text


def test_tables_show_every_book() -> None:
    written = io.StringIO()
    print_inspection(inspected(), Console(file=written, width=160))
    shown = written.getvalue()
    assert all(symbol in shown for symbol in inspected()["books"])
    assert "5,066 packets" in shown


def described(limit: int) -> list[str]:
    with Replay([recording(CAPTURE)]) as replay:
        return list(describe_messages(replay, "deribit", limit))


def test_messages_are_listed_field_by_field() -> None:
    listed = Counter()
    fields = Counter()
    for line in described(10**9):
        if found := re.match("  ([a-z_0-9]+) ", line + " "):
            listed[found[1]] += 1
        fields.update(re.findall(r"(\w+)=", line))
    assert listed == +Counter(inspected()["messages"])
    assert fields["change_id"] == 1064 + 197
    assert fields["instrument_name"] == 2 * 194
    first = described(2)
    assert sum(line.startswith("  ") and not line.startswith("    ") for line in first) == 2
    truth = reference().messages[0][0]
    name = next(iter(truth.root))
    assert f"{name}={truth.root[name]}" in first[1] or isinstance(truth.root[name], bytes)


def test_a_cut_packet_is_listed_as_far_as_it_goes() -> None:
    payload = max(reference().packets.payloads, key=len)
    with GuardedBytes() as guarded:
        for length in range(len(payload)):
            packet = Packet(payload_length=length, protocol=PROTOCOL_UDP)
            packet.payload_address = guarded.place(payload[:length])
            assert list(describe_packet(find_venue("deribit").wire, packet))


def test_an_unknown_venue_is_named() -> None:
    with pytest.raises(ConfigError, match="mtgox"):
        inspect_captures([], "mtgox")
