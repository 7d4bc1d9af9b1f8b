"""How the console answers: in JSON, and what the user can mend in one line."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from crosswire.engine.errors import KNOWN_ERRORS


def told(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Answer what the user can mend with its one line, instead of failing."""

    def asked(request: Request) -> Response:
        try:
            return endpoint(request)
        except (*KNOWN_ERRORS, ValueError) as error:
            return answer({"error": str(error)}, 400)

    return asked


def answer(content: Any, status: int = 200) -> Response:
    """Answer in JSON."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def number_of(request: Request, name: str, default: int = 0) -> int:
    """Read a number that is asked with. ValueError: it is none."""
    text = request.query_params.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 20:
        raise ValueError(f"{name}: {text[:40]}: must be a whole number")
    return int(text)
