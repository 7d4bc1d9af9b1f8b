"""`crosswire exchange`: a configuration's simulated exchanges on real sockets, until their captures end or a signal."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.venue import make_exchange, order_flow
from crosswire.engine.config import ConfigError, RunConfig, load_config, need_live, parse_endpoint
from crosswire.engine.data import prepare_data
from crosswire.engine.exchange.publish import (
    FLAT_OUT,
    ExchangeCounters,
    ExchangeParts,
    Publisher,
    elapsed_ns,
)
from crosswire.engine.faults import plain_errors, plain_faults
from crosswire.engine.warn import print_warnings
from crosswire.nic.capture.defects import total
from crosswire.nic.clock import ClockKeeper, LiveClock, advance
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import pin_thread
from crosswire.nic.host.signals import note_signals
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.rings.fault import FaultCounters, FaultRates, FaultRing, make_fault_ring
from crosswire.nic.rings.remote import make_remote_ring
from crosswire.nic.rings.replay import STARVED, Replay
from crosswire.nic.rings.ring import next_time_ns
from crosswire.nic.rings.sockets.udp import UdpSocket
from crosswire.nic.unit.link import Linker
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import Gateways, GatewaySetup
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E6

SERVE_NS = 5_000_000  # between two looks at listeners, signals and replay windows
KEEP_CLOCK_S = 1.0
LINGER_S = 30.0  # after the market data: for clients to take their last answers and leave


@dataclass(frozen=True)
class ExchangeOptions:
    """How the exchanges behave. `speed` is in multiples of real time; 0: as fast as possible."""

    speed: float = 1.0
    seconds: float = 0.0  # of market data; 0: until the captures end
    wait: bool = False  # time begins when every gateway has its client
    pause_at_s: float = 0.0  # the process stalls then ...
    pause_s: float = 0.0  # ... for so long
    burst_at_s: float = 0.0  # from then on ...
    burst_s: float = 0.0  # ... for so long ...
    burst_speed: float = 1.0  # ... at this speed
    seed: int = 1
    faults: dict[str, int] = field(default_factory=dict)  # of FaultRates, on the market data
    venues: tuple[str, ...] = ()  # that are served; (): all of the configuration

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError if the options contradict each other or are out of range."""
        if self.speed < 0:
            raise ConfigError(f"--speed {self.speed}: must be positive, or 0 for as fast as it goes")
        if min(self.seconds, self.pause_at_s, self.pause_s, self.burst_at_s, self.burst_s, self.burst_speed) < 0:
            raise ConfigError("--seconds, --pause, --burst: must not be negative")
        if self.faults.get("corrupt_ppm") and not (config.live and config.live.exchange_namespace):
            raise ConfigError(
                "--corrupt flips bits of addresses too: only with live.exchange_namespace, off real networks"
            )
        self.served(config)

    def served(self, config: RunConfig) -> list[int]:
        """List the numbers of the venues that are served. ConfigError: one is not in the configuration."""
        names = [venue.name for venue in config.venue]
        for name in self.venues:
            if name not in names:
                raise ConfigError(f"--venue {name}: the configuration has {', '.join(names)}")
        return [number for number, name in enumerate(names) if not self.venues or name in self.venues]


def open_listeners(config: RunConfig, served: Sequence[int], closing: ExitStack) -> list[Owner | None]:
    """Listen, venue by venue, where the engine asks beside the gateways. HostError: a port is not to be had."""
    opened: list[Owner | None] = []
    for number in served:
        venue = config.venue[number]
        listen = venue.order_entry.open_listeners
        opened.append(closing.enter_context(listen(venue.settings)) if listen is not None else None)
    return opened


def make_gateways(
    config: RunConfig, config_path: Path, number: int, exchange: Any, listeners: Owner | None
) -> Gateways:
    """Listen where a venue's clients are to connect. ConfigError, HostError: one line each."""
    venue = config.venue[number]
    assert venue.live is not None
    if venue.order_entry.make_gateways is None:
        raise ConfigError(f'venue {venue.name}: orders = "{venue.orders}": its exchange can be no process of its own')
    texts = [text for text in (venue.live.gateway, venue.live.gateway_b) if text]
    setup = GatewaySetup(
        number=number,
        names=instrument_names(config),
        exchange=exchange,
        endpoints=[parse_endpoint(text, f"venue {venue.name}: live.gateway") for text in texts],
        flows=tuple(order_flow(venue.name, gateway) for gateway in range(venue.order_entry.gateways_max)),
        folder=config_path.parent,
        settings=venue.settings,
        listeners=listeners,
    )
    try:
        return venue.order_entry.make_gateways(setup)
    except VenueError as error:
        raise ConfigError(f"{config_path}: venue {venue.name}: {error}") from None


class ExchangeProcess:
    """The exchanges of one configuration, their sockets, and the compiled loop that serves them."""

    def __init__(
        self,
        config: RunConfig,
        config_path: Path,
        options: ExchangeOptions,
        listeners: list[Owner | None],
        closing: ExitStack,
    ) -> None:
        self.config = config
        self.config_path = config_path
        self.options = options
        self.closing = closing
        self.replays: list[Replay] = []
        self.clock = LiveClock()
        self.keeper = ClockKeeper(self.clock)
        self.kept = time.monotonic()
        market, _ = make_market(config)
        self.numbers = options.served(config)
        self.linker = Linker()
        exchanges = [
            make_exchange(number, config, market, config_path, self.replays, self.linker, is_connected=False)
            for number in self.numbers
        ]
        self.gateways: list[Gateways] = []
        for number, exchange, listener in zip(self.numbers, exchanges, listeners, strict=True):
            self.gateways.append(make_gateways(config, config_path, number, exchange, listener))
            closing.callback(self.gateways[-1].close)
        parts = [
            ExchangeParts(exchange, make_remote_ring(exchange, self.linker), self._publisher(number), gateways.ring)
            for number, exchange, gateways in zip(self.numbers, exchanges, self.gateways, strict=True)
        ]
        speed_e6 = FLAT_OUT if options.speed == 0 else round(options.speed * E6)
        self.publisher = Publisher(parts, self.clock, speed_e6, self.linker)
        self.state = self.publisher.state
        for replay in self.replays:
            closing.callback(replay.close)

    def _publisher(self, number: int) -> FaultRing:
        live = self.config.venue[number].live
        assert live is not None
        publisher = self.closing.enter_context(UdpSocket(live.exchange_interface, []))
        try:
            rates = FaultRates(**self.options.faults)
            return make_fault_ring(publisher.ring, self.options.seed + number, transmit=rates)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def accept(self) -> None:
        """Accept new clients."""
        for gateway in self.gateways:
            gateway.accept()

    def clients(self) -> int:
        """List the venues that have a client."""
        return sum(gateway.clients() > 0 for gateway in self.gateways)

    def start(self) -> None:
        """Start the exchanges' time: their first frame is due now."""
        self.keeper.keep(KEEP_CLOCK_S)  # a clock that nobody kept while the loop compiled has come to a stop
        first_ns = []
        for part in self.publisher.parts:
            while next_time_ns(part.exchange) == STARVED:
                for replay in self.replays:
                    replay.refill()
            first_ns.append(next_time_ns(part.exchange))
        self.state.first_ns = min(first_ns)
        self.state.started_ns = advance(self.clock, 0)

    def keep_clock(self) -> None:
        """Keep the clock, about once a second."""
        if time.monotonic() - self.kept > KEEP_CLOCK_S:
            self.kept = time.monotonic()
            self.keeper.keep(KEEP_CLOCK_S)

    def rest(self, seconds: float) -> None:
        """Wait this long, keeping the clock."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, KEEP_CLOCK_S))
            self.keep_clock()

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on; the exchanges' time goes on from where it is. `speed` as in ExchangeOptions."""
        speed_e6 = FLAT_OUT if speed == 0 else round(speed * E6)
        state = self.state
        if state.speed_e6 != speed_e6:
            now_ns = advance(self.clock, 0)
            if state.speed_e6 != FLAT_OUT:
                state.first_ns = elapsed_ns(state, now_ns)
            else:
                state.first_ns = max(part.exchange.now_ns for part in self.publisher.parts)
            state.started_ns, state.speed_e6 = now_ns, speed_e6

    def scale_heartbeats(self) -> None:
        """Keep heartbeats in real time, where the clients live: every second, however fast the captures go."""
        if self.state.speed_e6 != FLAT_OUT:
            for gateway in self.gateways:
                gateway.scale_heartbeats(self.state.speed_e6)

    def wait_for_clients(self, stopped: Callable[[], bool]) -> None:
        """Wait until every gateway has its client, or `stopped` says so."""
        while self.clients() < len(self.publisher.venues) and not stopped():
            self.accept()
            self.rest(0.01)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Serve until the market data is over and the clients have left, or `stopped` says so. LoopError."""
        options = self.options
        if options.wait:
            self.wait_for_clients(stopped)
        self.start()
        begun = ended = time.monotonic()
        pause_from, burst_from = begun + options.pause_at_s, begun + options.burst_at_s
        while not stopped():
            now = time.monotonic()
            if pause_from <= now < pause_from + options.pause_s:
                self.rest(pause_from + options.pause_s - now)
            self.accept()
            self.set_speed(options.burst_speed if burst_from <= now < burst_from + options.burst_s else options.speed)
            with plain_faults(self.config_path):
                is_starved = self.publisher.serve(advance(self.clock, 0) + SERVE_NS)
            if is_starved:
                for replay in self.replays:
                    replay.refill()
            self.keep_clock()
            self.scale_heartbeats()
            self.state.muted = self.state.muted or bool(options.seconds and now - begun >= options.seconds)
            if not self.state.muted and not all(venue.counters.at_end for venue in self.publisher.venues):
                ended = now
            elif self.clients() == 0 or now - ended > LINGER_S:
                return

    def summary(self) -> dict[str, Any]:
        """Describe what the exchanges published and what their own books say of the client."""
        result: dict[str, Any] = {}
        replays = iter(self.replays)
        for place, (number, part) in enumerate(zip(self.numbers, self.publisher.parts, strict=True)):
            is_replayed = self.config.venue[number].order_entry.replays
            warnings = next(replays).warnings() if is_replayed else []
            counters = self.publisher.venues[place].counters
            result[self.config.venue[number].name] = {
                **{name: getattr(counters, name) for name in ExchangeCounters.fields},
                "faults": {
                    name: getattr(part.publisher.transmit.counters, name)
                    for name in FaultCounters.fields
                    if name != "frames"
                },
                **self.gateways[place].account(),
                "warnings": [msgspec.to_builtins(each) for each in warnings],
            }
        return result

    def warnings(self) -> list[DataWarning]:
        """Tell what is wrong with the captures, as far as they have been read."""
        return total(replay.tally() for replay in self.replays).warnings()


def run_exchange(
    config_path: Path,
    options: ExchangeOptions,
    say: Callable[[str], None],
    console: Console,
    look: Callable[[ExchangeProcess], None] = lambda _process: None,
) -> None:
    """Serve one configuration's exchanges; print "ready" when clients may connect, and one JSON object at the end.

    `console` gets the warnings about the captures, after the JSON. `look` is called every SERVE_NS with the exchanges
    at rest: for tests that compare with their books, or have something go wrong.
    """
    config = load_config(config_path)
    live = need_live(config, config_path)
    options.check(config)
    prepare_data(config, config_path, None)
    with ExitStack() as closing:
        listeners = open_listeners(
            config, options.served(config), closing
        )  # before it leaves the namespace that the engine asks from
        if live.exchange_namespace:
            closing.enter_context(in_namespace(live.exchange_namespace))
        pin_thread(live.exchange_core)
        simulation = ExchangeProcess(config, config_path, options, listeners, closing)
        with plain_errors(config_path, []):
            simulation.linker.load()
        signals = note_signals()

        def stopped() -> bool:
            look(simulation)
            return bool(signals)

        say("ready")
        simulation.run(stopped)
        say(json.dumps(simulation.summary()))
        print_warnings(simulation.warnings(), console)
