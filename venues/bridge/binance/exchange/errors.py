"""The venue's answers that refuse: code, text and HTTP status.

Sources: errors.md of github.com/binance/binance-spot-api-docs (read at 021246e, 2025-01-09) for spot;
developers.binance.com/docs/derivatives/usds-margined-futures/error-code for USD-M. Codes are the venue's; a text in
which the venue puts values has them here, too. HTTP statuses: 400 by default (rest-api.md, HTTP Return Codes: 4XX for
malformed requests); those of -2014, -2015 (401), -1003 (429, 418) are as seen by users of the venue, unverified.
"""

from crosswire.venues.bridge.binance.market import Market

NUMBER_DIGITS_MAX = 20
NUMBER_RANGE = "^[0-9]{1,20}$"
BAD_REQUEST, UNAUTHORIZED, CONFLICT, BANNED, TOO_MANY, UNAVAILABLE = 400, 401, 409, 418, 429, 503


class ApiError(Exception):
    """A refusal as the venue words it. `data` is what `cancelReplace` tells of both halves."""

    def __init__(
        self, code: int, message: str, status: int = BAD_REQUEST, data: dict[str, object] | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.data = data
        self.retry_after_s = 0

    def body(self) -> dict[str, object]:
        """Put into words as the JSON of an answer has it."""
        body: dict[str, object] = {"code": self.code, "msg": self.message}
        return body if self.data is None else body | {"data": self.data}


def missing(name: str) -> ApiError:
    """Refuse for a parameter that must be there."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def empty(name: str) -> ApiError:
    """Refuse for a parameter that is there without a value."""
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def illegal(name: str, legal: str) -> ApiError:
    """Refuse for letters that a parameter can't have."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def is_number(text: str) -> bool:
    """Tell whether a text is a whole number as the venue takes one."""
    return text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX


def not_required(name: str) -> ApiError:
    """Refuse for a parameter that must not be there."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(market: Market, name: str) -> ApiError:
    """Refuse for more decimals than an asset has."""
    if market == Market.SPOT:
        return ApiError(-1111, f"Parameter '{name}' has too much precision.")
    return ApiError(-1111, "Precision is over the maximum defined for this asset.")


def filter_failure(name: str) -> ApiError:
    """Refuse as one of spot's filters does."""
    return ApiError(-1013, f"Filter failure: {name}")


def unknown_order(code: int = -2011) -> ApiError:
    """Refuse to cancel what is not open."""
    return ApiError(code, "Unknown order sent.")


def server_busy(market: Market) -> ApiError:
    """Refuse because the venue is overloaded."""
    texts = {
        Market.SPOT: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    }
    futures = (
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
    )
    return ApiError(-1008, texts.get(market, futures), UNAVAILABLE)


def unknown_status() -> ApiError:
    """Say that nobody knows what became of a request: it may have been carried out."""
    return ApiError(
        -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.", 503
    )


INVALID_SIGNATURE = (-1022, "Signature for this request is not valid.")
OUTSIDE_WINDOW = (-1021, "Timestamp for this request is outside of the recvWindow.")
AHEAD_OF_SERVER = (-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
# Of spot's glossary of -1131; USD-M has no code of its own for it (unverified).
LONG_WINDOW = (-1131, "recvWindow must be less than 60000.")
BAD_KEY_FORMAT = (-2014, "API-key format invalid.", UNAUTHORIZED)
REJECTED_KEY = (-2015, "Invalid API-key, IP, or permissions for action.", UNAUTHORIZED)
INVALID_SYMBOL = (-1121, "Invalid symbol.")
NO_SUCH_ORDER = (-2013, "Order does not exist.")
MARKET_CLOSED = (-1013, "Market is closed.")
DUPLICATE_ORDER = (-2010, "Duplicate order sent.")
DUPLICATE_CLIENT_ORDER_ID = (-4116, "clientOrderId is duplicated")
WOULD_TAKE = (-2010, "Order would immediately match and take.")
NO_BALANCE = (-2010, "Account has insufficient balance for requested action.")
NO_MARGIN = (-2019, "Margin is insufficient.")
NO_LISTEN_KEY = (-1125, "This listenKey does not exist.")
