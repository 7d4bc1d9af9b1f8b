"""What a venue says of our account beside its order session: heard before anything is traded there.

A session whose venue has such a source is not READY before the source was asked. That is done when the session has
caught up with what an earlier run missed and nothing of ours is open: orders and positions are two questions, and only
then do their answers belong together. A thread asks, as that takes seconds; the loop takes the answer out of its mail.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from crosswire.engine.build.run import Run
from crosswire.engine.build.venue import made, venue_setup
from crosswire.engine.config import RunConfig
from crosswire.nic.memory.struct import clear_struct
from crosswire.venues.adapter import AccountSource, ToldAccount
from crosswire.venues.errors import VenueError, one_line
from crosswire.venues.market import Market, is_defined
from crosswire.venues.order import REPORTS_MAX, STRANGE_INSTRUMENT, Report, ReportKind

LOOK_S = 0.02
WAITED_S = 15.0  # until what is waited for is told: a feed may define its instruments no more often than every 10 s
RETRY_S = 20.0  # after a source gave no answer: venues take few such calls, some 10 a minute


def make_account_sources(config: RunConfig, config_path: Path, market: Market) -> dict[int, AccountSource]:
    """Make the configured sources, by venue number; all of them before the process is confined. ConfigError."""
    sources: dict[int, AccountSource] = {}
    for number in range(len(config.venue)):
        source = _make_source(number, config, config_path, market)
        if source is not None:
            sources[number] = source
    return sources


def _make_source(number: int, config: RunConfig, config_path: Path, market: Market) -> AccountSource | None:
    make = config.venue[number].order_entry.make_account_source
    if make is None:
        return None
    symbols = [each.symbol for venue in config.venue for each in venue.instrument]
    setup = venue_setup(number, config, market, config_path)
    source: AccountSource | None = made(lambda setup: make(setup, symbols), setup, config, config_path)
    return source


class AccountCheck:
    """Asks the sources once their sessions are ready for it, and hands what they say to the loop."""

    def __init__(self, run: Run, sources: dict[int, AccountSource]) -> None:
        self.run, self.sources = run, sources
        self.lines: list[str] = []  # to be told
        self._stopping = threading.Event()
        self._retry_s: dict[int, float] = {}
        for number, venue in enumerate(run.config.venue):
            if number in sources:
                run.parts[number].session.awaits_account = 1
            elif venue.order_entry.make_account_source is not None:
                self.lines.append(f"{venue.name}: its account is compared with nothing: no source of it is configured")

    def start(self) -> None:
        """Start the thread, if there is anybody to be asked."""
        if self.sources:
            # A source that does not answer must not hold up the end of a run.
            threading.Thread(target=self._ask_all, name="accounts", daemon=True).start()

    def stop(self) -> None:
        """Ask nobody any more."""
        self._stopping.set()

    def take_lines(self) -> Iterator[str]:
        """Give what is to be told, once."""
        while self.lines:
            yield self.lines.pop(0)

    def _ask_all(self) -> None:
        left, begun_s, is_told = set(self.sources), time.monotonic(), False
        while left and not self._stopping.wait(LOOK_S):
            for number in sorted(left):
                if self._is_time(number) and self._ask(number):
                    left.remove(number)
            if not is_told and not self._stopping.is_set() and time.monotonic() - begun_s >= WAITED_S:
                is_told = True
                self.lines += [self._why_not(number) for number in sorted(left) if number not in self._retry_s]

    def _why_not(self, number: int) -> str:
        """Say what a source that was not asked yet waits for."""
        name, engine = self.run.config.venue[number].name, self.run.engine
        if open_orders := engine.gate.venues[number].open_orders:
            reason = f"the end of {open_orders} order{'s' if open_orders > 1 else ''} of the last run is not told"
        elif not is_defined(engine.market, number):
            reason = "its market data has not defined all instruments"
        else:
            reason = "its session is not logged on, or has not told all that was missed"
        return f"{name}: nothing is traded there yet: {reason}"

    def _is_time(self, number: int) -> bool:
        """Tell whether a venue's instruments are defined, and nothing of ours is open or under way there."""
        engine = self.run.engine
        venue = engine.venues[number]
        return (
            is_defined(engine.market, number)
            and venue.session.order_link >= 0
            and venue.session.is_resumed == 0
            and venue.cancel_due == 0
            and engine.gate.venues[number].open_orders == 0
            and time.monotonic() >= self._retry_s.get(number, 0.0)
        )

    def _ask(self, number: int) -> bool:
        """Ask one source; False: it gave no answer, and is to be asked again later."""
        name, source = self.run.config.venue[number].name, self.sources[number]
        try:
            told = source.fetch()
        except Exception as error:  # whatever another's source does: a thread that ends would be waited for in vain
            why = str(error) if isinstance(error, VenueError) else one_line(error)
            self.lines.append(f"{name}: nothing is traded there yet, asked again in {RETRY_S:g} s: {why}")
            self._retry_s[number] = time.monotonic() + RETRY_S
            return False
        if self._deliver(number, told):
            positions = "positions and open orders" if told.position_lots is not None else "open orders, not positions,"
            self.lines.append(f"{name}: {positions} compared with {source.name}")
        return True

    def _deliver(self, number: int, told: ToldAccount) -> bool:
        """Hand an answer to the loop, part by part; False: the run ends before the loop has taken it."""
        mail = self.run.engine.mail
        reports = list(self._reports_of(number, told))
        for first in range(0, len(reports), REPORTS_MAX):
            part = reports[first : first + REPORTS_MAX]
            for place, fields in enumerate(part):
                write_report(mail.reports.items[place], number, fields)
            mail.reports.count = len(part)
            mail.venue = number
            mail.has_positions = int(told.position_lots is not None)
            mail.is_full = 1
            while mail.is_full:
                if self._stopping.wait(LOOK_S):
                    return False
        return True

    def _reports_of(self, number: int, told: ToldAccount) -> Iterator[dict[str, int]]:
        for order in told.open_orders:
            yield {
                "kind": ReportKind.OPEN,
                "exchange_order_id": order.exchange_order_id,
                "instrument": order.instrument,
                "side": order.side,
                "price_ticks": order.price_ticks,
                "leaves_lots": order.leaves_lots,
            }
        for index, lots in (told.position_lots or {}).items():
            yield {"kind": ReportKind.HOLDING, "instrument": index, "qty_lots": lots}
        for _ in told.strangers:
            yield {"kind": ReportKind.HOLDING, "instrument": STRANGE_INSTRUMENT}
        last_execution_id = self.run.engine.orders.last_execution_ids[number]
        yield {"kind": ReportKind.ACCOUNT_END, "execution_id": last_execution_id}


def write_report(report: Report, venue: int, fields: dict[str, int]) -> None:
    """Fill in one report."""
    clear_struct(report)
    report.venue = venue
    for name, value in fields.items():
        setattr(report, name, value)
