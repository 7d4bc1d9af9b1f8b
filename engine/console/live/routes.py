"""What the page of a live run asks the console for: to look, and to have the monitor asked for something."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crosswire.engine.console.answer import answer, number_of, told
from crosswire.engine.console.live.view import live_view, series_of
from crosswire.engine.console.live.watch import LiveWatch
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.offered import OFFERED

BODY_BYTES_MAX = m.REQUEST_BYTES_MAX
JSON = "application/json"


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What a page asks for."""

    command: str  # of OFFERED, or "set"
    values: dict[str, str] = {}  # of a set


class Confirmed(msgspec.Struct, forbid_unknown_fields=True):
    """The second step: the token that the first one was answered with."""

    token: str


def live_routes(watch: LiveWatch) -> list[Route]:
    """Make the routes of a live run."""

    def look(request: Request) -> Response:
        return answer(live_view(watch, pair_of(request)))

    def series(request: Request) -> Response:
        names = [row.instrument for row in watch.seen.look.books]
        pair = pair_of(request) or [0, 0]
        if not all(0 <= each < len(names) for each in pair):
            raise ValueError("left, right: there are no such books")
        after_s = number_of(request, "after_ms") / 1e3
        return answer(series_of(watch.remembered(), [names[each] for each in pair], watch.traded, after_s))

    async def command(request: Request) -> Response:
        return await asked(request, Wanted, command_of)

    async def confirm(request: Request) -> Response:
        return await asked(request, Confirmed, lambda confirmed: m.Confirm(token=confirmed.token))

    async def asked(request: Request, kind: type[Any], meant: Callable[[Any], m.Command | m.Confirm]) -> Response:
        content = await body_of(request)
        return await run_in_threadpool(
            told(lambda _request: answer(answer_of(watch.ask(meant(read_body(content, kind)))))), request
        )

    return [
        Route("/api/live", told(look)),
        Route("/api/live/series", told(series)),
        Route("/api/live/command", command, methods=["POST"]),
        Route("/api/live/confirm", confirm, methods=["POST"]),
    ]


def pair_of(request: Request) -> list[int] | None:
    """Read which two books are meant; None: the page has not chosen. ValueError: that are no numbers."""
    if "left" not in request.query_params:
        return None
    return [number_of(request, name) for name in ("left", "right")]


async def body_of(request: Request) -> bytes:
    """Read what was posted, BODY_BYTES_MAX and a byte of it at most; nothing of another kind than JSON."""
    if request.headers.get("content-type", "").split(";")[0].strip() != JSON:
        return b""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            break
    return content


def read_body(content: bytes, kind: type[Any]) -> Any:
    """Read what a page wants. ValueError: it can't be read."""
    if len(content) > BODY_BYTES_MAX:
        raise ValueError(f"a command has at most {BODY_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"this is no command: {error}") from None


def command_of(wanted: Wanted) -> m.Command:
    """Make the monitor's request of what a page wants. ValueError: there is no such command."""
    if wanted.command == "set":
        return m.Set(values=wanted.values)
    if wanted.command not in OFFERED:
        raise ValueError(f"{wanted.command[:40]}: there is no such command")
    return OFFERED[wanted.command].request


def answer_of(given: m.AnyAnswer) -> dict[str, Any]:
    """Tell what was done, or what is to be confirmed. ControlError: the monitor has answered neither."""
    if isinstance(given, m.Done):
        return {"done": given.text}
    if isinstance(given, m.ToConfirm):
        return {"to_confirm": given.text, "token": given.token, "valid_s": given.valid_s}
    raise ControlError(f"the monitor answered {m.tag_of(given)}")  # type: ignore[arg-type]
