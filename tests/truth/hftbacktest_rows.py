"""A capture's market data as hftbacktest's rows: the same changes in the same order at the same times.

Its own converter is left out. Its rows have one price each and know no best bid/ask messages, so those are left out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.truth.plain_exchange import BOOK_DELTA, BUY, SNAPSHOT_TEMPLATE, TRADE_TEMPLATE, Packet

ROW = np.dtype(
    {
        "names": ["ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"],
        "formats": ["u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"],
    },
    align=True,
)
DEPTH, TRADE = 1, 2
AT_THE_EXCHANGE, AT_THE_USER = 1 << 31, 1 << 30
BUYS, SELLS = 1 << 29, 1 << 28


def rows_of(packets: list[Packet], latency_ns: int, tick: float, lot: float) -> Any:
    """Make the rows of all packets from the first snapshot on; the exchange knew each `latency_ns` before."""
    rows = np.array(list(_rows(packets, latency_ns)), ROW)
    rows["px"] *= tick
    rows["qty"] *= lot
    return rows


def _rows(packets: list[Packet], latency_ns: int) -> Iterator[tuple[Any, ...]]:
    last_id = 0
    for packet in packets:
        times = packet.receive_ns - latency_ns, packet.receive_ns
        for message in packet.messages:
            if message.template == TRADE_TEMPLATE:
                price, lots, aggressor = message.fields[3:6]
                side = BUYS if aggressor == BUY else SELLS
                yield AT_THE_EXCHANGE | AT_THE_USER | TRADE | side, *times, price, lots, 0, 0, 0
                continue
            if message.template == SNAPSHOT_TEMPLATE:
                last_id = message.fields[2]
            elif message.template != BOOK_DELTA or last_id == 0 or message.fields[3] <= last_id:
                continue
            for side, levels in zip((BUYS, SELLS), message.sides, strict=True):
                for price, lots in levels:
                    yield AT_THE_EXCHANGE | AT_THE_USER | DEPTH | side, *times, price, lots, 0, 0, 0
