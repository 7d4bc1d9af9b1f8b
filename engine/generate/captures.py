"""The default data: nanosecond captures of two made-up venues in real wire formats, the same bytes for the same seed.

`deribit.pcap` is an inverse perpetual on Deribit's legacy multicast feed, `bridge.pcap` a linear one on the bridge
feed. What the market does is in `engine.generate.market`; here it is turned into packets, a few of which get lost.
"""

from dataclasses import dataclass
from pathlib import Path

from crosswire.engine.generate import bridge as generate_bridge
from crosswire.engine.generate import deribit as generate_deribit
from crosswire.engine.generate.bridge import BridgePublisher, bridge_has_room, make_bridge, open_bridge, publish_bridge
from crosswire.engine.generate.deribit import (
    DeribitPublisher,
    deribit_has_room,
    make_deribit,
    open_deribit,
    publish_deribit,
)
from crosswire.engine.generate.market import (
    E6,
    NS_PER_S,
    Losses,
    MadeMarket,
    MadeVenue,
    next_event,
    open_market,
    seed_random,
)
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.unit.call import machine_code
from crosswire.venues.bridge.wire.encoder import FeedWriter

START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01 00:00:00 UTC
SECONDS = 120
SECONDS_MAX = 86_400
GAP_INTERVAL_S = 15
PRICE_E6 = 60_000 * E6
DERIBIT, BRIDGE = 0, 1  # index in the market
BUFFER_BYTES = 4 << 20


@dataclass(frozen=True)
class GeneratedCapture:
    """One venue's capture. `messages` counts those of lost packets too."""

    path: Path
    messages: int
    gaps: int  # places where packets are missing, each with a change of the book
    packets_lost: int
    bursts: int
    trade_throughs: int  # aggressors that took more than one level


@dataclass(frozen=True)
class GeneratedData:
    """What `generate_captures` wrote."""

    deribit: GeneratedCapture
    bridge: GeneratedCapture
    seconds: int
    crossed_moments: int  # times that one venue began to bid more than the other asked
    jumps: int  # of the price that both follow
    dislocations: int  # of one venue alone


def generate_captures(directory: Path | str, seed: int = 1, seconds: int = SECONDS) -> GeneratedData:
    """Write `deribit.pcap` and `bridge.pcap` into `directory`, which is made if need be; each whole or not at all.

    About 1,250 messages a second and venue. `seconds` is 1 to SECONDS_MAX; ValueError otherwise.
    """
    if not 1 <= seconds <= SECONDS_MAX:
        raise ValueError(f"seconds = {seconds}: must be 1 to {SECONDS_MAX}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    market = make_market(seed, seconds)
    deribit = make_deribit(START_NS, BUFFER_BYTES)
    bridge, bridge_writer = make_bridge(START_NS, BUFFER_BYTES)
    plan_losses(deribit.losses, seconds, 0.35)
    plan_losses(bridge.losses, seconds, 0.65)
    run = machine_code(fill_buffers)
    with (
        CaptureWriter(directory / "deribit.pcap") as deribit_file,
        CaptureWriter(directory / "bridge.pcap") as bridge_file,
    ):
        goes_on = True
        while goes_on:
            goes_on = run(market, deribit, bridge, bridge_writer)
            for file, writer in ((deribit_file, deribit), (bridge_file, bridge_writer)):
                file.write_memory(writer.buffer.address, writer.used)
                writer.used = 0
    return GeneratedData(
        deribit=summary(deribit_file, deribit, market.venues[DERIBIT]),
        bridge=summary(bridge_file, bridge, market.venues[BRIDGE]),
        seconds=seconds,
        crossed_moments=market.crossed_moments,
        jumps=market.jumps,
        dislocations=market.shocks,
    )


def make_market(seed: int, seconds: int) -> MadeMarket:
    """Both venues as they behave, about to open at START_NS."""
    market = MadeMarket(price_e6=PRICE_E6, step_ns=START_NS, end_ns=START_NS + seconds * NS_PER_S)
    seed_random(market.random, seed)
    deribit, bridge = market.venues
    deribit.tick_e6 = generate_deribit.TICK_E9 // 1000
    deribit.step_ticks = 3
    deribit.typical_lots = 4_000  # of 10 USD
    deribit.half_spread_e6 = 300_000
    deribit.response = 3
    deribit.jump_delay_ns = 40_000
    deribit.latency_ns = 180_000
    deribit.jitter_ns = 40_000
    bridge.tick_e6 = generate_bridge.TICK_E9 // 1000
    bridge.step_ticks = 12
    bridge.typical_lots = 800  # of 0.001 BTC
    bridge.half_spread_e6 = 150_000
    bridge.response = 5
    bridge.jump_delay_ns = 600_000
    bridge.latency_ns = 900_000
    bridge.jitter_ns = 300_000
    for venue in market.venues:
        venue.depth_min = 12
        venue.depth_max = 40
        venue.event_gap_ns = 1_700_000
        venue.fair_e6 = PRICE_E6
        venue.shock_decay_steps = 1
        venue.time_ns = venue.receive_ns = venue.next_ns = START_NS
    return market


def plan_losses(losses: Losses, seconds: int, phase: float) -> None:
    """One gap every GAP_INTERVAL_S, the first one after a part `phase` of that, none in the last tenth of the time."""
    losses.interval_ns = min(GAP_INTERVAL_S, seconds) * NS_PER_S
    losses.next_ns = START_NS + round(losses.interval_ns * phase)
    losses.last_ns = START_NS + seconds * NS_PER_S * 9 // 10


def fill_buffers(
    market: MadeMarket, deribit: DeribitPublisher, bridge: BridgePublisher, bridge_writer: FeedWriter
) -> bool:
    """Let the market live until a buffer is full, True, or its time is over, False."""
    if market.is_open == 0:
        open_market(market)
        open_deribit(deribit, market.venues[DERIBIT])
        open_bridge(bridge, bridge_writer, market.venues[BRIDGE])
    while deribit_has_room(deribit) and bridge_has_room(bridge_writer):
        index = next_event(market)
        if index < 0:
            return False
        if index == DERIBIT:
            publish_deribit(market.random, deribit, market.venues[index])
        else:
            publish_bridge(market.random, bridge, bridge_writer, market.venues[index])
    return True


def summary(file: CaptureWriter, publisher: DeribitPublisher | BridgePublisher, venue: MadeVenue) -> GeneratedCapture:
    """What was written to one file."""
    return GeneratedCapture(
        path=file.path,
        messages=publisher.messages,
        gaps=publisher.losses.gaps,
        packets_lost=publisher.losses.packets,
        bursts=venue.bursts,
        trade_throughs=venue.trade_throughs,
    )
