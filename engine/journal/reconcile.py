"""`crosswire reconcile`: where a venue and our journal differ, and an operator's word that the venue is right."""

from dataclasses import dataclass
from pathlib import Path

from crosswire.engine.build.run import build_core
from crosswire.engine.config import RunConfig, VenueConfig, load_config
from crosswire.engine.journal.carry import ACCOUNT_NAME, NO_NUMBERS, Carried, Difference, last_carried
from crosswire.engine.journal.description import write_description
from crosswire.engine.journal.opening import take_over, write_opening
from crosswire.engine.report.facts import describe_run
from crosswire.engine.runs import hold_name, make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal
from crosswire.nic.journal.reader import JournalError
from crosswire.risk.position import Position


@dataclass(frozen=True)
class Reconciled:
    """What was found, and what became of it."""

    carried: Carried
    unasked: list[str]  # what is held or open where a venue can't be asked, a line each
    folder: Path | None  # of the account that was accepted; None: nothing was

    @property
    def differences(self) -> list[Difference]:
        """Positions that a venue had otherwise."""
        return self.carried.differences


def reconcile(config_path: Path, output: Path, accept: bool) -> Reconciled:
    """Show what the last start found different; with `accept` begin the next one with the venue's positions.

    Where a venue can't be asked, accepting says that our journal is right, and its open orders have ended unfilled.

    JournalError: there is nothing to be reconciled. HostError: the run is going on. Profits stay as we booked them: at
    which prices the difference was traded nobody has told us.
    """
    config = load_config(config_path)
    with hold_name(output, config.name):
        carried = last_carried(output / config.name)
        if carried is None:
            raise JournalError(f"{output / config.name}: no run of this name has left a journal")
        unasked = unasked_lines(config, carried)
        if not accept or not (carried.differences or unasked):
            return Reconciled(carried, unasked, None)
        carried.orders = {
            number: order for number, order in carried.orders.items() if can_be_asked(config, carried, order.instrument)
        }
        for venue in carried.lost:
            carried.numbers.pop(venue, None)
        carried.doubts.clear()
        for each in carried.differences:
            held = carried.holdings.setdefault((ACCOUNT_NAME, each.instrument), Position())
            held.position_lots = each.theirs_lots
        core = build_core(config, config_path)
        core.engine.venue_count = len(config.venue)
        take_over(core, config, carried)
        folder = make_run_folder(output, config.name, config_path.read_text())
        kept = MemoryJournal(core.engine.journal, folder / FOLDER)
        write_description(kept.journal, describe_run(core, config, config_path, "reconcile", carried.folder.name))
        write_opening(core, config, carried)
        kept.close()
        return Reconciled(carried, unasked, folder)


def tells_account(venue: VenueConfig) -> bool:
    """Tell whether a venue tells its whole account to each session, which is compared before anything is traded."""
    return venue.order_entry.resume is not None and venue.order_entry.make_account_source is None


def doubt_text(venue: VenueConfig, carried: Carried) -> str:
    """Say why what we have at a venue is not known for certain; "" where nothing speaks against it."""
    if carried.description.kind == "reconcile":
        return ""  # an operator has compared
    said = [
        f"{each.instrument} was {each.ours_lots} lots by our journal and {each.theirs_lots} by the venue's account"
        for each in carried.differences
        if each.instrument.startswith(f"{venue.name}/")
    ]
    if not said and (reports := carried.doubts.get(venue.name, 0)):
        said.append(f"{reports} report{'s' if reports > 1 else ''} of the venue could not be believed")
    # Those venues tell a session what it missed by its numbers alone: an older version did not write them down, or the
    # run ended before its session was used.
    is_by_numbers = venue.order_entry.resume is not None and not tells_account(venue)
    has_numbers = any(carried.numbers.get(venue.name, NO_NUMBERS))
    if is_by_numbers and not has_numbers and has_something(carried, venue.name):
        said.append("something is held or open there, and no number of its session is known: fills may be missed")
    return "; ".join(said)


def has_something(carried: Carried, venue: str) -> bool:
    """Tell whether something is held or open at a venue."""
    names = [*carried.held_lots(), *(order.instrument for order in carried.orders.values())]
    return any(name.startswith(f"{venue}/") for name in names)


def can_be_asked(config: RunConfig, carried: Carried, instrument: str) -> bool:
    """Tell whether an instrument's venue tells a session what we have; one that is configured no more does not."""
    return any(
        venue.order_entry.resume is not None and venue.name not in carried.lost
        for venue in config.venue
        if instrument.startswith(f"{venue.name}/")
    )


def unasked_lines(config: RunConfig, carried: Carried) -> list[str]:
    """Say what only our journal knows: positions and orders where the venue can't be asked."""
    lines = [
        f"{venue}: its session could not go on where the run before had stopped; what it has done since is not told"
        for venue in sorted(carried.lost)
    ]
    lines += [
        f"{venue.name}: {doubt}"
        for venue in config.venue
        if not tells_account(venue) and (doubt := doubt_text(venue, carried))
    ]
    lines += [
        f"{instrument}: {lots} lots by our journal, and the venue can't be asked"
        for instrument, lots in carried.held_lots().items()
        if not can_be_asked(config, carried, instrument)
    ]
    lines += [
        f"{order.instrument}: the end of order {number} is not known, and the venue can't be asked"
        for number, order in carried.orders.items()
        if not can_be_asked(config, carried, order.instrument)
    ]
    return lines
