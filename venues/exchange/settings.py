"""`[venue.simulation]`: how long each way to a simulated exchange takes, and how the exchange treats orders."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec

LATENCY_MS_MAX = 60_000
LATENCY_US_MAX = LATENCY_MS_MAX * 1_000

Microseconds = Annotated[int, msgspec.Meta(ge=0, le=LATENCY_US_MAX)]
WAYS = ("feed", "order", "response")


class LatencyModel(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, tag_field="model"):
    """A latency model, chosen by `model`."""


class Measured(LatencyModel, tag="measured", frozen=True):
    """Market data: by the exchange's own times on the wire, at most `max_ms` before the receive time."""

    max_ms: Annotated[int, msgspec.Meta(ge=1, le=LATENCY_MS_MAX)] = 1_000


class Constant(LatencyModel, tag="constant", frozen=True):
    """Always the same."""

    us: Microseconds


class Empirical(LatencyModel, tag="empirical", frozen=True):
    """Drawn from a distribution: a CSV or Parquet file of `latency_us`, or of `quantile` and `latency_us`."""

    file: str
    seed: int = 1


class Interpolated(LatencyModel, tag="interpolated", frozen=True):
    """Between recorded latencies: a CSV or Parquet file of `time_ns` and `<way>_latency_us`.

    Or one of hftbacktest's order latencies: `req_ts`, `exch_ts`, `resp_ts`.
    """

    file: str


class ByLoad(LatencyModel, tag="load", frozen=True):
    """`us`, and `ns_per_frame` for each frame of market data in the last `window_ms`."""

    us: Microseconds
    ns_per_frame: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=LATENCY_MS_MAX)]


Modelled = Constant | Empirical | Interpolated | ByLoad
MEASURED = "measured"  # `Measured` with its default
MODELS = {each.__struct_config__.tag: each for each in (Measured, Constant, Empirical, Interpolated, ByLoad)}
EXAMPLE = '{ model = "constant", us = 500 }'


def take_latency(way: str, raw: Any) -> LatencyModel:
    """Check one way's latency as it stands in a configuration; ValueError that names what is wrong."""
    if isinstance(raw, LatencyModel):
        return raw  # a configuration that is made from another
    if isinstance(raw, str):
        raw = {"model": raw}
    models = [str(name) for name in MODELS if way == "feed" or name != MEASURED]
    if not isinstance(raw, dict):
        raise ValueError(f"{way}_latency = {raw}: must be a table, as {EXAMPLE}")
    name = raw.get("model")
    if name not in models:
        if name == MEASURED:
            raise ValueError(f'{way}_latency: model = "measured": no wire tells it; write another, as {EXAMPLE}')
        said = "model is missing" if name is None else f'model = "{name}"'
        raise ValueError(f"{way}_latency: {said}: must be one of {', '.join(models)}")
    try:
        return msgspec.convert(raw, MODELS[name])
    except msgspec.ValidationError as error:
        message, _, location = str(error).partition(" - at `$.")
        key = location.rstrip("`")
        shown = f"{key} = {raw[key]}: " if key in raw else ""
        raise ValueError(f"{way}_latency: {shown}{message[:1].lower()}{message[1:]}") from None


class QueueConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How resting orders move up; `n` is of the power models."""

    model: str  # its name
    n: Decimal | None = None


QUEUES = ("risk_averse", "power", "power_2", "power_3", "log", "log_2", "exact")
EXACT = "exact"
POWER_MAX = 100


def take_queue(raw: Any) -> QueueConfig:
    """Check a queue model as it stands in a configuration; ValueError that names what is wrong."""
    if isinstance(raw, QueueConfig):
        return raw
    if isinstance(raw, str):
        raw = {"model": raw}
    try:
        queue = msgspec.convert(raw, QueueConfig)
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at `$")[0]
        raise ValueError(f"queue: {message[:1].lower()}{message[1:]}") from None
    if queue.model not in QUEUES:
        raise ValueError(f'queue: model = "{queue.model}": must be one of {", ".join(QUEUES)}')
    if queue.model.startswith("power") != (queue.n is not None):
        needed = f'write it as queue = {{ model = "{queue.model}", n = 3 }}' if queue.n is None else "it has no n"
        raise ValueError(f'queue: model = "{queue.model}": {needed}')
    if queue.n is not None and not 0 < queue.n <= POWER_MAX:
        raise ValueError(f"queue: n = {queue.n}: must be above 0 and at most {POWER_MAX}")
    return queue


class SimulationConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`[venue.simulation]`: the wires to a simulated exchange, and how much it takes. The same for every venue.

    A latency is one of `MODELS`, as a table of its `model` and that model's own keys.
    """

    feed_latency: Any = MEASURED  # from the exchange's book to the capture's timestamp
    order_latency: Any = None  # from the engine's send to the matching engine
    response_latency: Any = None  # from the matching engine to the engine
    orders_per_second: int  # the venue's own throttle
    burst: int  # orders at once
    max_resting_orders: int = 256  # of ours at one time
    queue: Any = None  # of resting orders, one of `QUEUES`; None: what the venue's exchange can do best
    feed_latency_us: Any = None  # refused: feed_latency has a model now
    order_latency_us: Any = None  # refused, likewise
    response_latency_us: Any = None  # refused, likewise

    def __post_init__(self) -> None:
        for way in WAYS:
            old_us, raw = getattr(self, f"{way}_latency_us"), getattr(self, f"{way}_latency")
            if old_us is not None:
                instead = ', or "measured" for the times on the wire' if way == "feed" else ""
                constant = f'{{ model = "constant", us = {old_us} }}'
                raise ValueError(f"{way}_latency_us is no key: write {way}_latency = {constant}{instead}")
            if raw is None:
                raise ValueError(f"{way}_latency is missing: write it as {way}_latency = {EXAMPLE}")
            msgspec.structs.force_setattr(self, f"{way}_latency", take_latency(way, raw))
        if self.queue is not None:
            msgspec.structs.force_setattr(self, "queue", take_queue(self.queue))
