"""The second step of what trades or loosens: a word that is good once, soon, for one client and one request."""

import secrets
import time
from dataclasses import dataclass

from crosswire.engine.monitor import messages as m

VALID_S = 30
WAITING_MAX = 4  # of one client; the oldest goes


@dataclass(frozen=True)
class Waiting:
    """A request that is to be confirmed."""

    request: m.Command
    run: str  # that it was asked of
    until_s: float


class Confirmations:
    """What waits to be confirmed, by client and token."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Waiting]] = {}

    def ask(self, client: str, request: m.Command, run: str) -> str:
        """Keep a request; return its token."""
        own = self._waiting.setdefault(client, {})
        while len(own) >= WAITING_MAX:
            del own[next(iter(own))]
        token = secrets.token_hex(16)
        own[token] = Waiting(request, run, time.monotonic() + VALID_S)
        return token

    def take(self, client: str, token: str, run: str) -> m.Command | None:
        """Give the request that a client confirms, once; None: there is none, it is too late, or the run is another."""
        found = self._waiting.get(client, {}).pop(token, None)
        if found is None or found.run != run or time.monotonic() > found.until_s:
            return None
        return found.request
