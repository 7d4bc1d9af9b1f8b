"""What a person may ask a live run for, on the screen and on the web page, and what is said before it is asked."""

from typing import NamedTuple

from crosswire.engine.monitor import messages as m


class Offered(NamedTuple):
    """One command."""

    key: str  # of the keyboard
    request: m.Command
    said: str  # of what it does


OFFERED: dict[str, Offered] = {
    "pause": Offered("p", m.Pause(), "cancel everything, and send nothing but cancels until resume"),
    "reduce_only": Offered(
        "d", m.ReduceOnly(), "cancel everything, and send only what makes a position smaller until resume"
    ),
    "cancel_all": Offered("c", m.CancelAll(), "cancel everything that is open; trading goes on"),
    "resume": Offered("u", m.Resume(), "ask to trade again"),
    "flatten": Offered("f", m.Flatten(), "ask to close every position"),
    "kill": Offered("k", m.Kill(), "cancel everything and end the run"),
}
