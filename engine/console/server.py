"""The console's web server: its pages, and what they ask for. Of finished runs nothing can be changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crosswire.engine.console.answer import answer, number_of, told
from crosswire.engine.console.guard import Guard
from crosswire.engine.console.live.routes import live_routes
from crosswire.engine.console.live.watch import LiveWatch
from crosswire.engine.console.replayed import ReplayedRun
from crosswire.engine.console.shelf import Shelf
from crosswire.engine.errors import ExplainError

STATIC = Path(__file__).parent / "static"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
Answer = Callable[[ReplayedRun, Request], Any]


def make_app(
    shelf: Shelf, *, token: str, port: int, hosts: frozenset[str] = LOOPBACK, live: LiveWatch | None = None
) -> Starlette:
    """Make the application that shows the runs of a shelf, and a live one."""

    def runs(_request: Request) -> Response:
        return answer({"runs": shelf.list(), "is_live": live is not None})

    def facts(request: Request) -> Response:
        opened = shelf.open(run_name(request))
        state = {"state": "ready" if opened.is_ready else "failed" if opened.failure else "reading"}
        if opened.is_ready:
            return answer(state | opened.run.facts())
        return answer(state | {"failure": opened.failure, "turns": int(opened.run.recording.tape.rows)})

    def of_run(ask: Answer) -> Callable[[Request], Response]:
        def asked(request: Request) -> Response:
            opened = shelf.open(run_name(request))
            if not opened.is_ready:
                raise ExplainError(opened.failure or f"{run_name(request)}: is still being read")
            with opened.lock:
                return answer(ask(opened.run, request))

        return asked

    run = "/api/runs/{name}/{stamp}"
    routes = [
        Route("/", page),
        Route("/runs/{name}/{stamp}", page),
        Route("/api/runs", told(runs)),
        Route(run, told(facts)),
        Route(f"{run}/at", told(of_run(ask_at))),
        Route(f"{run}/turn", told(of_run(ask_turn))),
        Route(f"{run}/edges", told(of_run(ask_edges))),
        *([] if live is None else [Route("/live", page), *live_routes(live)]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, token=token, hosts=hosts, port=port)])


def page(_request: Request) -> Response:
    """Serve the one page; what it shows it reads from its own address."""
    return FileResponse(STATIC / "console.html", media_type="text/html")


def run_name(request: Request) -> str:
    """Read which run is meant."""
    return f"{request.path_params['name']}/{request.path_params['stamp']}"


def pair_of(run: ReplayedRun, request: Request) -> list[int]:
    """Read which two books are meant. ValueError: there are no such."""
    pair = [
        number_of(request, name, default) for name, default in zip(("left", "right"), run.default_pair(), strict=True)
    ]
    if not all(0 <= each < len(run.infos) for each in pair):
        raise ValueError(f"left, right: this run has the instruments 0 to {len(run.infos) - 1}")
    return pair


def ask_at(run: ReplayedRun, request: Request) -> Any:
    """Answer what was known at a turn, or at the last one up to a time."""
    if "time_ns" in request.query_params:
        turn = run.turn_at(number_of(request, "time_ns"))
    else:
        turn = number_of(request, "turn")
    return run.at(turn, pair_of(run, request))


def ask_turn(run: ReplayedRun, request: Request) -> Any:
    """Find a turn: an opportunity's or order's first, the next or last event's, or a frame's."""
    asked = request.query_params
    for kind in ("opportunity", "order"):
        if kind in asked:
            return run.find(kind, number_of(request, kind))
    if "event" in asked:
        step = 1 if number_of(request, "event") > 0 else -1
        return {"turn": run.event_turn(number_of(request, "turn"), step)}
    return {"turn": run.turn_of_frame(number_of(request, "frame"))}


def ask_edges(run: ReplayedRun, request: Request) -> Any:
    """Answer the edges over time."""
    return run.series(pair_of(run, request), number_of(request, "from_ns"), number_of(request, "to_ns"))
