"""`crosswire top`: a live run on one screen of a terminal, with keys for what can't wait."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.offered import OFFERED
from crosswire.engine.monitor.top import panels
from crosswire.engine.monitor.top.look import Look, Traded, look

LOOK_S = 1.0  # between two looks
BOOKS_SHOWN = 4
TITLES = {
    "edges": "edges",
    "positions": "positions",
    "orders": "open orders",
    "latencies": "latencies",
    "health": "sessions and feeds",
    "log": "commands",
}


class Question(ModalScreen[bool]):
    """Asks whether something is to be done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield Static(f"{self.text}\n\n[b]y[/b] do it   [b]n[/b] leave it", id="question")

    def action_answer(self, is_yes: bool) -> None:
        """Close it with the answer."""
        self.dismiss(is_yes)


class Top(App[None]):
    """The screen. It looks every LOOK_S, in a thread, and never faster than the monitor answers."""

    CSS = """
    #header { height: auto; padding: 0 1; }
    #books { height: auto; }
    .panel { border: round $primary; padding: 0 1; height: auto; width: 1fr; }
    #question { border: thick $warning; padding: 1 2; width: 64; height: auto; background: $surface; }
    Question { align: center middle; }
    """
    TITLE = "crosswire top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(each.key, f"ask('{name}')", panels.words(name)) for name, each in OFFERED.items()),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, client: Client, traded: dict[str, Traded]) -> None:
        super().__init__()
        self.client, self.traded = client, traded
        self.seen = Look(at_s=0.0)
        self.is_looking = False

    def compose(self) -> ComposeResult:
        """Lay the panels out."""
        yield Static(id="header")
        with VerticalScroll():
            with Horizontal(id="books"):
                for place in range(BOOKS_SHOWN):
                    yield Static(id=f"book{place}", classes="panel")
            for name in TITLES:
                yield Static(id=name, classes="panel")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        for name, title in TITLES.items():
            self.query_one(f"#{name}", Static).border_title = title
        self.show()
        self.set_interval(LOOK_S, self.look_again)
        self.look_again()

    def look_again(self) -> None:
        """Look, unless the last look has not been answered yet."""
        if not self.is_looking:
            self.is_looking = True
            self.run_worker(self._look, thread=True, group="look")

    def _look(self) -> None:
        seen = look(self.client, self.traded)
        self.call_from_thread(self.take, seen)

    def take(self, seen: Look) -> None:
        """Show what was seen; where that is an error, what was seen last beside it."""
        self.is_looking = False
        self.seen = replace(self.seen, error=seen.error) if seen.error else seen
        self.show()

    def show(self) -> None:
        """Write all panels."""
        seen = self.seen
        self.query_one("#header", Static).update(panels.header(seen))
        for place in range(BOOKS_SHOWN):
            panel = self.query_one(f"#book{place}", Static)
            panel.display = place < len(seen.books)
            if panel.display:
                panel.border_title = seen.books[place].instrument
                panel.update(panels.book(seen.books[place]))
        shown = {
            "edges": panels.edges(seen.edges),
            "positions": panels.positions(seen.positions),
            "orders": panels.orders(seen),
            "latencies": panels.latencies(seen.latencies),
            "health": panels.health(seen),
            "log": panels.log(seen.log),
        }
        for name, content in shown.items():
            self.query_one(f"#{name}", Static).update(content)

    def action_ask(self, name: str) -> None:
        """Ask whether a key is meant, then ask the monitor; what it wants confirmed is asked with its own words."""
        self.push_screen(
            Question(f"{panels.words(name)}: {OFFERED[name].said}?"), lambda is_yes: self.send(name) if is_yes else None
        )

    def send(self, name: str) -> None:
        """Ask the monitor for a command, in a thread."""
        request = OFFERED[name].request
        self.run_worker(lambda: self._command(lambda client: client.request(request)), thread=True, group="command")

    def _command(self, request: Callable[[Client], m.AnyAnswer]) -> None:
        try:
            answer = request(self.client)
        except ControlError as error:
            self.call_from_thread(self.notify, str(error), severity="error", timeout=10)
            return
        self.call_from_thread(self.answered, answer)

    def answered(self, answer: m.AnyAnswer) -> None:
        """Tell what was done, or ask for the second step."""
        if isinstance(answer, m.ToConfirm):
            self.push_screen(Question(f"this will {answer.text}"), lambda is_yes: self.confirm(answer, is_yes))
        else:
            self.notify(getattr(answer, "text", ""), timeout=10)
            self.look_again()

    def confirm(self, asked: m.ToConfirm, is_yes: bool | None) -> None:
        """Have done what was asked for, if it is wanted."""
        if is_yes:
            self.run_worker(lambda: self._command(lambda client: client.confirm(asked)), thread=True, group="command")
        else:
            self.notify("not confirmed, nothing is done")
