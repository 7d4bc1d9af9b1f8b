"""What makes a live run's figures less than the whole truth: in its summary, on its console, to who watches it."""

from crosswire.engine.state import LoopState
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.warning import DataWarning

TOLD_STANDSTILL_NS = NS_PER_S  # shorter ones are counted only


def damaged_warning(name: str, damaged: int) -> DataWarning:
    """Say that datagrams of a venue were not read for their checksum, and what may be the reason."""
    return DataWarning(
        kind="datagrams with a wrong checksum, not read",
        count=damaged,
        first_place=f"venue {name}",
        what_to_do="look for a faulty link or switch; if the sender is on this host, turn its transmit checksum offload"
        " off, or set check_udp = false in [venue.live]",
    )


def standstill_warnings(state: LoopState) -> list[DataWarning]:
    """Say that the engine stood still, and for how long, if it did for long enough to be told."""
    if state.standstill_longest_ns < TOLD_STANDSTILL_NS:
        return []
    return [
        DataWarning(
            kind="standstills of the engine",
            count=state.standstills,
            first_place=f"the longest {state.standstill_longest_ns / NS_PER_S:.1f} s",
            what_to_do="find what stops the process or takes its core (a debugger, a paused machine, other processes on"
            " live.core); crosswire journal --kind standstill lists them",
        )
    ]
