"""Deribit against Binance on one machine, as `docs/binance.md` has it: two exchanges, the bridge and the engine.

    namespace of the exchanges                                     namespace of the engine
    simulated Starbase ------------------------------ veth 0 ----- crosswire live
    stand-in for Binance --- TLS on loopback --- bridge - veth 1 -----/

All are processes, configured by the examples; each may be killed and started again.
"""

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from crosswire.engine.generate import generate_captures
from crosswire.nic.host.testbed import Testbed, in_namespace
from tests.support.faulty_exchange import ask
from tests.support.live_setup import COMPILE_PATIENCE_S, EXAMPLES, Command, started

NAMES = ("deribit-binance", "bridge-binance", "stand-in")
CONTROL = "https://127.0.0.1:7446"
KEY = 'client_id = "stand-in-key-0123456789"\nsecret = "only for tests"\n'
# The strategy is to trade often, which the lowest tier's fees do not allow for.
BUSY = {"taker_fee_bps = 5\n": "taker_fee_bps = 1\n", "position_max = 0.1\n": "position_max = 0.15\n"}
POLL_S = 2.0  # between two looks at the digests of the stand-in's book: it keeps some minutes of them
NETWORK_S = 10.0


class WholeLine:
    """The configurations in a folder, and how each process is started. `digests`: by update id, of the stand-in."""

    def __init__(self, folder: Path, testbed: Testbed, seconds: int, **changes: str) -> None:
        self.folder, self.testbed = folder, testbed
        self.door = folder / "door"
        self.digests: dict[int, int] = {}
        data = folder / "data"
        generate_captures(data, seed=1, seconds=seconds)
        network = {
            "../data/deribit-binance": str(data),
            "seconds = 600": f"seconds = {seconds}",
            '"cw-engine"': f'"{testbed.engine}"',
            '"cw-exchange"': f'"{testbed.exchange}"',
            **{f'"cwe{n}"': f'"{link.engine_interface}"' for n, link in enumerate(testbed.links)},
            **{f'"cwx{n}"': f'"{link.exchange_interface}"' for n, link in enumerate(testbed.links)},
        }
        for name in NAMES:
            text = (EXAMPLES / f"{name}.toml").read_text()
            for old, new in {**network, **(BUSY | changes if name == NAMES[0] else {})}.items():
                text = text.replace(old, new)
            self.config(name).write_text(text)
        key = folder / "stand-in-key.toml"
        key.write_text(KEY)
        key.chmod(0o600)

    def config(self, name: str = NAMES[0]) -> Path:
        """Tell where a configuration is."""
        return self.folder / f"{name}.toml"

    @property
    def orders_journal(self) -> Path:
        """Tell where the bridge's is."""
        return self.folder / "orders.journal"

    def exchange(self) -> AbstractContextManager[Command]:
        """Start the simulated Starbase."""
        arguments = (self.config(), "--venue", "starbase", "--door", self.door)
        return started(self.folder, "serve", *arguments, module="tests.support.faulty_exchange")

    def stand_in(self) -> AbstractContextManager[Command]:
        """Start the stand-in."""
        return started(self.folder, "bridge", "stand-in", self.config("stand-in"), namespace=self.testbed.exchange)

    def bridge(self) -> AbstractContextManager[Command]:
        """Start the bridge."""
        return started(self.folder, "bridge", "binance", self.config("bridge-binance"), namespace=self.testbed.exchange)

    def live(self, *options: object) -> AbstractContextManager[Command]:
        """Start the engine."""
        return started(self.folder, "live", self.config(), "--output", self.folder / "runs", *options)

    def ask(self, act: str, **settings: Any) -> Any:
        """Ask the simulated Starbase, or have something happen there."""
        return ask(self.door, act, **settings)

    def control(self, action: str, **body: Any) -> Any:
        """Tell the stand-in what to do."""
        return self._request(f"/control/{action}", json.dumps(body).encode())

    def truth(self, what: str) -> Any:
        """Ask the stand-in for its own truth."""
        return self._request(f"/truth/{what}?market=usdm&symbol=BTCUSDT", None)

    def _request(self, path: str, body: bytes | None) -> Any:
        context = ssl.create_default_context(cafile=str(self.folder / "stand-in" / "ca.pem"))
        with in_namespace(self.testbed.exchange):
            request = urllib.request.Request(CONTROL + path, data=body)
            with urllib.request.urlopen(request, context=context, timeout=NETWORK_S) as answer:
                return json.loads(answer.read() or b"null")

    @contextmanager
    def noting_digests(self) -> Iterator[None]:
        """Note the digests of the stand-in's book, id by id, until the block ends."""
        ended = threading.Event()

        def note() -> None:
            while not ended.wait(POLL_S):
                self.note_digests()

        thread = threading.Thread(target=note)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.note_digests()

    def note_digests(self) -> None:
        """Note what the stand-in still knows."""
        self.digests |= {update_id: int(digest) for update_id, digest in self.truth("digests")["digests"]}


@contextmanager
def exchanges(line: WholeLine) -> Iterator[tuple[Command, Command]]:
    """Run both exchanges, playing from the same moment; the simulated Starbase, and the stand-in."""
    with line.exchange() as starbase, line.stand_in() as stand_in:
        stand_in.wait_for("control ", COMPILE_PATIENCE_S)
        starbase.wait_for("ready", COMPILE_PATIENCE_S)
        line.control("resume")
        yield starbase, stand_in
