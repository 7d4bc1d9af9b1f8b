"""The report's section on spreads: each pair as a market of its own, with the trades and opportunities on it.

Between two samples nothing is known of a spread but what strategies have acted on: the best prices when an opportunity
began and when it was at its peak, and when a trade was decided on. Those are points of the line, so a mark lies on it;
a trade's mark is away from it by what its fills were worse or better than the best prices then.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.columns import Values
from crosswire.engine.report.currency import e9
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.parameters import thresholds_bps
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.engine.report.series import POINTS_MAX, Pair, SampleLines, thin, trade_prices
from crosswire.engine.report.text import money_text, number_text

MARKERS_MAX = 1000  # of a kind on a spread: missed trades first, then an even choice of the others

Table = Mapping[str, Values]


class SpreadPage:
    """Draws the spreads of a run's pairs."""

    def __init__(
        self,
        page: Page,
        instruments: Sequence[InstrumentInfo],
        config: dict[str, object],
        lines: SampleLines,
        range_ns: tuple[int, int],
    ) -> None:
        self.page = page
        self.instruments = instruments
        self.config = config
        self.lines = lines
        self.range_ns = range_ns

    def add(self, pairs: Sequence[Pair], fills: Table, trades: Table, missed: Values, found: Table) -> None:
        """Add a plot for each pair; `missed` tells which trades missed a leg, `found` are the opportunities."""
        self.page.section(
            "Spread and trades",
            "Each pair as a market of its own: its bid is what selling the first named and buying the second gives, "
            "its ask what the reverse costs, in bps of the second one's price. Triangles are trades at their average "
            "fill prices, hollow red ones missed a leg; small dots are opportunities at their peaks. Click for more.",
        )
        if not pairs:
            self.page.note("No two instruments of one underlying were configured.")
        bought, sold = trade_prices(fills, trades)
        for pair in pairs:
            first, second = (self.instruments[index] for index in pair)
            markers = [*self._peaks(pair, found), *self._trades(pair, trades, missed, (bought, sold))]
            bid, ask = (self._line(pair, is_ask, trades, found) for is_ask in (False, True))
            figure = plots.spread_figure(bid, ask, markers, self._levels(first, second), "the spread", self.range_ns)
            self.page.figure(f"{second.name} against {first.name}", figure)
        undrawn = int(np.count_nonzero((np.isnan(bought) | np.isnan(sold)) & (trades["legs"] == 0)))
        if undrawn:
            self.page.note(
                f"{number_text(undrawn)} trades were not filled on both of their instruments; they have no mark."
            )

    def _levels(self, first: InstrumentInfo, second: InstrumentInfo) -> list[tuple[float, str]]:
        """List what it takes to trade a pair: the fees, and each threshold that is configured on top."""
        fees_bps = (first.taker_fee_e9 + second.taker_fee_e9) / 1e5
        thresholds = thresholds_bps(self.config, (first.name, second.name))
        levels = [(fees_bps, "taker fees of both legs")]
        return levels + [(fees_bps + bps, f"fees and {key} {bps:g}") for key, bps in thresholds.items()]

    def _spread_bps(self, pair: Pair, buys_second: bool, buy_ticks: Values, sell_ticks: Values) -> Values:
        """Compute the pair's spread from prices in ticks: its ask if the second is bought, its bid if it is sold."""
        first, second = (self.instruments[index].tick_e9 for index in pair)
        reference, other = (
            (sell_ticks * first, buy_ticks * second) if buys_second else (buy_ticks * first, sell_ticks * second)
        )
        return (other - reference) / reference * 1e4

    def _acted(self, pair: Pair, buys_second: bool, table: Table) -> Values:
        buy, sell = (pair[1], pair[0]) if buys_second else pair
        own: Values = (table["buy_instrument"] == buy) & (table["sell_instrument"] == sell) & (table["legs"] == 0)
        return own

    def _line(self, pair: Pair, is_ask: bool, trades: Table, found: Table) -> tuple[Values, Values]:
        """Merge the samples of a spread with what was acted on, keeping each span's extremes."""
        line = (self.lines.spread_ask if is_ask else self.lines.spread_bid)[pair]
        times, values = ([part] for part in line.points())
        for table, time, prices in (
            (found, "start_ns", "first"),
            (found, "peak_ns", "peak"),
            (trades, "start_ns", "first"),
        ):
            ticks = table[f"{prices}_buy_ticks"], table[f"{prices}_sell_ticks"]
            own = self._acted(pair, is_ask, table) & (ticks[0] > 0) & (ticks[1] > 0)
            times.append(table[time][own].astype(np.int64))
            values.append(self._spread_bps(pair, is_ask, ticks[0][own], ticks[1][own]))
        time_ns, spread = np.concatenate(times), np.concatenate(values)
        order = np.argsort(time_ns, kind="stable")
        time_ns, spread = time_ns[order], spread[order]
        kept = thin(time_ns, spread, *self.range_ns, POINTS_MAX)
        return time_ns[kept], spread[kept]

    def _peaks(self, pair: Pair, found: Table) -> list[plots.Trace]:
        traces = []
        for buys_second in (False, True):
            buy_ticks, sell_ticks = found["peak_buy_ticks"], found["peak_sell_ticks"]
            places = np.flatnonzero(self._acted(pair, buys_second, found) & (buy_ticks > 0) & (sell_ticks > 0))
            # The most valuable ones, where there are too many.
            places = np.sort(places[np.argsort(-found["peak_value_e9"][places], kind="stable")[:MARKERS_MAX]])
            if len(places):
                bps = self._spread_bps(pair, buys_second, buy_ticks[places], sell_ticks[places])
                name = "opportunity to buy" if buys_second else "opportunity to sell"
                words = [self._opportunity_text(found, place) for place in places.tolist()]
                keys = [f"opportunity {place + 1}" for place in places.tolist()]
                traces.append(plots.peak_markers(found["peak_ns"][places], bps, words, keys, name, buys_second))
        return traces

    def _opportunity_text(self, found: Table, place: int) -> str:
        quote = self.instruments[found["buy_instrument"][place]].quote
        worth = money_text(e9(int(found["peak_value_e9"][place])), quote)
        return text(f"opportunity {place + 1}: worth {worth} at its peak")

    def _trades(self, pair: Pair, trades: Table, missed: Values, prices: tuple[Values, Values]) -> list[plots.Trace]:
        bought, sold = prices
        traces = []
        for buys_second in (False, True):
            own = self._acted(pair, buys_second, trades) & ~np.isnan(bought) & ~np.isnan(sold)
            reference, other = (sold, bought) if buys_second else (bought, sold)
            bps = np.divide(other - reference, reference, out=np.full(len(bought), np.nan), where=own) * 1e4
            room = MARKERS_MAX
            for is_missed in (True, False):
                places = np.flatnonzero(own & (missed == is_missed))
                if len(places) > room:
                    places = places[np.linspace(0, len(places) - 1, room).astype(np.int64)]
                room -= len(places)
                if len(places):
                    name = ("bought" if buys_second else "sold") + (", leg missed" if is_missed else "")
                    words = [self._trade_text(trades, place) for place in places.tolist()]
                    keys = [f"trade {place + 1}" for place in places.tolist()]
                    starts = trades["start_ns"][places]
                    traces.append(plots.trade_markers(starts, bps[places], words, keys, name, buys_second, is_missed))
        return traces

    def _trade_text(self, trades: Table, place: int) -> str:
        buy = self.instruments[trades["buy_instrument"][place]]
        size = f"{trades['intended_size'][place]:.8g} {buy.base}"
        traded = money_text(e9(int(trades["traded_value_e9"][place])), buy.quote, sign=True)
        return text(f"trade {place + 1}: {size}, {trades['outcome'][place]}, traded for {traded}")
