"""Who is let in to the console: who has the address that was printed, on this machine, by the name it listens under.

A page of any other origin can make a browser ask for anything on loopback. It has no token; its requests carry its own
name in `Host` when it has its name resolve to 127.0.0.1 (DNS rebinding); and what it is sent, it may not read. What a
request changes something with also names where it comes from, in `Origin`, which a page can't forge.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

COOKIE = "crosswire_console"
TOKEN_BYTES = 32
CONTENT_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
READING = ("GET", "HEAD")
UNKNOWN = "open the address that crosswire console printed: it has the token\n"
Next = Callable[[Request], Awaitable[Response]]


def make_token() -> str:
    """Make the token of one start."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Guard(BaseHTTPMiddleware):
    """Refuses who is not to be let in, and says in every answer what a page may do."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str], port: int) -> None:
        """Let in who has the token, and asks for one of these hosts by name."""
        super().__init__(app)
        self.token = token
        self.hosts = {f"{host}:{port}" for host in hosts}
        self.origins = {f"http://{host}" for host in self.hosts}
        self.cookie = f"{COOKIE}_{port}"  # cookies do not tell ports apart

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        """Answer one request."""
        response = self._refusal(request) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host", "") not in self.hosts:
            return PlainTextResponse("not served under this name\n", 421)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_navigation(request):
            return PlainTextResponse("not for other sites\n", 403)
        if request.method not in READING:
            if request.headers.get("origin", "") not in self.origins:
                return PlainTextResponse("only this console's own pages can ask for anything\n", 403)
            return None if self._is_known(request) else PlainTextResponse(UNKNOWN, 401)
        asked = parse_qsl(request.url.query)
        given = dict(asked).get("token")
        if given is not None and self._is_right(given):
            rest = urlencode([each for each in asked if each[0] != "token"])
            response = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return response
        return None if self._is_known(request) else PlainTextResponse(UNKNOWN, 401)

    def _is_known(self, request: Request) -> bool:
        return self._is_right(request.cookies.get(self.cookie, ""))

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def is_navigation(request: Request) -> bool:
    """Tell whether a person follows a link to here: without the token that shows nothing."""
    return request.headers.get("sec-fetch-mode") == "navigate" and request.headers.get("sec-fetch-dest") == "document"
