"""`crosswire reconcile`: where a venue and our journal differ, and an operator's word that the venue is right."""

from dataclasses import dataclass
from pathlib import Path

from crosswire.engine.build.run import build_core
from crosswire.engine.config import load_config
from crosswire.engine.journal.carry import ACCOUNT_NAME, Carried, Difference, last_carried
from crosswire.engine.journal.description import describe, write_description
from crosswire.engine.journal.opening import take_over, write_opening
from crosswire.engine.report.facts import core_infos, record_names, strategy_names
from crosswire.engine.runs import hold_name, make_run_folder
from crosswire.nic.journal.files import FOLDER, MemoryJournal
from crosswire.nic.journal.reader import JournalError
from crosswire.risk.position import Position


@dataclass(frozen=True)
class Reconciled:
    """What was found, and what became of it."""

    carried: Carried
    folder: Path | None  # of the account that was accepted; None: nothing was

    @property
    def differences(self) -> list[Difference]:
        """Positions that a venue had otherwise."""
        return self.carried.differences


def reconcile(config_path: Path, output: Path, accept: bool) -> Reconciled:
    """Show what the last start found different; with `accept` begin the next one with the venue's positions.

    JournalError: there is nothing to be reconciled. HostError: the run is going on. Profits stay as we booked them: at
    which prices the difference was traded nobody has told us.
    """
    config = load_config(config_path)
    with hold_name(output, config.name):
        carried = last_carried(output / config.name)
        if carried is None:
            raise JournalError(f"{output / config.name}: no run of this name has left a journal")
        if not accept or not carried.differences:
            return Reconciled(carried, None)
        for each in carried.differences:
            held = carried.holdings.setdefault((ACCOUNT_NAME, each.instrument), Position())
            held.position_lots = each.theirs_lots
        core = build_core(config, config_path)
        core.engine.venue_count = len(config.venue)
        infos = core_infos(core, config)
        take_over(core, config, strategy_names(config), [info.name for info in infos], carried)
        folder = make_run_folder(output, config.name, config_path.read_text())
        kept = MemoryJournal(core.engine.journal, folder / FOLDER)
        description = describe(
            name=config.name,
            kind="reconcile",
            config_path=config_path,
            venues=[venue.name for venue in config.venue],
            instruments=infos,
            names=record_names(config),
            continues=carried.folder.name,
        )
        write_description(core.engine.journal, description)
        write_opening(core, carried.told([venue.name for venue in config.venue]))
        kept.close()
        return Reconciled(carried, folder)
