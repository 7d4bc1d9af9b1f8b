"""What a seed decides: the market data, who trades, and what goes wrong when. The same seed gives the same plan."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from random import Random

import msgspec

from crosswire.engine.control.mailbox import CommandKind
from crosswire.nic.clock import STEP_NS
from crosswire.nic.duration import NS_PER_MS

DATA_SEEDS = 8  # different made-up markets; the rest of a seed is what is done with one
TRADING_MS = 5_000
EVENTS_MAX = 8
LATE_MS_MAX = 400
FULL_MS_MAX = 200
CUT_MS_MAX = 4_500
DOWN_MS_MAX = 60
COUNT_MAX = 12
UNWRITTEN_MAX = 3
ROOM_BYTES_MAX = 20_000
STEP_MS_MAX = 20_000
STILL_MS_MIN = 20
STILL_MS_MAX = 12_000  # longer than any order session bears silence
STILL_COUNTS = (0, 0, 0, 1, 2)
COMMAND_COUNTS = (0, 0, 0, 1, 2, 4)
COMMANDED_MS_MAX = 500  # until what was asked for is taken back
CHOICES_MAX = 1 << 32
LINE_LATE_MS_MAX = 50
THROTTLED_MS_MAX = 1_000
HELD_MS_MAX = 200
LIES_MAX = 1 << 16  # more than a venue has, so that each is about as likely
PPM_MAX = 30_000  # of market data frames that suffer a fault


class Happening(IntEnum):
    """What happens at a moment: to an order connection, an exchange, or the engine."""

    ANSWERS_LATE = 0
    RING_FULL = 1
    CONNECTION_CUT = 2  # for so long no other connection can be made
    GATEWAY_KILLED = 3
    ANSWERS_REPEATED = 4
    ENGINE_KILLED = 5  # and another one is started in its place
    LIE_TOLD = 6  # of an exchange: something that is not so
    DISK_FULL = 7  # the journal gets no next segment
    CLOCK_STEPPED = 8  # the host's, and with it the engine's
    DISPLACED = 9  # another client takes our place at a gateway
    LINE_LATE = 10  # every other multicast group of a venue's market data: of two lines one
    THROTTLED = 11  # the exchange takes no order, by rate
    ORDERS_LATE = 12  # the exchange takes orders later, as with a longer speed bump
    STOOD_STILL = 13  # the engine's thread: it does not turn, and finds in its rings what has come since
    COMMANDED = 14  # the engine, by its operator


# How often each is drawn. A cut takes long to be noticed, and so to be played: it is rarer.
USUAL = {
    Happening.ANSWERS_LATE: 3,
    Happening.RING_FULL: 3,
    Happening.CONNECTION_CUT: 1,
    Happening.GATEWAY_KILLED: 2,
    Happening.ANSWERS_REPEATED: 2,
    Happening.ENGINE_KILLED: 5,
}
# What ends or changes all that follows: a seed has few of them, or none.
RARE = {
    Happening.LIE_TOLD: 4,
    Happening.DISK_FULL: 2,
    Happening.CLOCK_STEPPED: 3,
    Happening.DISPLACED: 2,
    Happening.LINE_LATE: 2,
    Happening.THROTTLED: 2,
    Happening.ORDERS_LATE: 2,
}
RARE_COUNTS = (0, 1, 2, 2, 3)


class Moment(IntEnum):
    """At which point of a turn the engine's process is killed."""

    BETWEEN_TURNS = 0
    BEFORE_FRAME = 1  # the order stands in the journal, its frame is not begun
    BEFORE_WIRE = 2  # the frame is whole, and not handed over
    AFTER_WIRE = 3  # it is, and nothing has been done since
    AFTER_RECEIPT = 4  # an answer was received, and is not in the journal yet
    AMID_RECORDS = 5  # it is in the journal in part


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens, `at_ms` after the first frame, and for how long."""

    at_ms: int
    happening: Happening
    venue: int
    gateway: int
    both: bool  # gateways; STOOD_STILL: frames have the time at which they are read, not that at which they came
    for_ms: int  # ENGINE_KILLED, COMMANDED: until what follows; LINE_LATE, ORDERS_LATE: by how much
    moment: Moment = Moment.BETWEEN_TURNS  # ENGINE_KILLED
    count: int = 1  # ENGINE_KILLED: the so-manieth time that the venue's ring comes to that moment
    unwritten: int = 0  # ENGINE_KILLED, AMID_RECORDS: records at the journal's end that were not written any more
    is_torn: bool = False  # ENGINE_KILLED: the journal ends in the middle of a record
    room_bytes: int = 0  # DISK_FULL: that the present segment has left, beside what is kept for the last turns
    step_ns: int = 0  # CLOCK_STEPPED: forward, or back
    lie: int = 0  # LIE_TOLD: which of the venue's, modulo their number
    command: int = 0  # COMMANDED: CommandKind
    choice: int = 0  # COMMANDED: a seed for what else there is to choose


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a venue's market data frames suffer what, in millionths: the fields of `FaultRates`."""

    drop_ppm: int
    duplicate_ppm: int
    reorder_ppm: int
    truncate_ppm: int
    reorder_frames: int
    corrupt_ppm: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a seed decides."""

    seed: int
    config: int  # which of the configurations
    data_seed: int
    is_restless: bool  # orders by chance, instead of the configured strategies
    every: int  # book changes between two requests of the restless strategy
    is_wild: bool
    position_max_lots: int  # of every instrument, for the restless strategy to run into; 0: as configured
    order_max_lots: int = 0  # likewise
    rates: list[Rates]  # by venue
    events: list[Event]  # in order of time


def draw_plan(seed: int, venue_counts: Sequence[int]) -> Plan:
    """Draw what a seed decides; `venue_counts` are of each configuration, which take turns."""
    random = Random(seed)
    config = seed % len(venue_counts)
    venues = venue_counts[config]
    events = [draw_event(random, venues, USUAL) for _ in range(random.randint(0, EVENTS_MAX))]
    # Drawn apart: a kind that is added changes nothing about what else a seed decides.
    rare = Random(f"{seed} rare")
    events += [draw_rare_event(rare, venues) for _ in range(rare.choice(RARE_COUNTS))]
    corrupt_ppm = [draw_ppm(rare) for _ in range(venues)]
    still = Random(f"{seed} still")
    events += [draw_standstill(still, venues) for _ in range(still.choice(STILL_COUNTS))]
    commanded = Random(f"{seed} commands")
    events += [draw_command(commanded, venues) for _ in range(commanded.choice(COMMAND_COUNTS))]
    return Plan(
        seed=seed,
        config=config,
        data_seed=1 + random.randrange(DATA_SEEDS),
        is_restless=random.random() < 0.7,
        every=random.choice((3, 10, 30, 100)),
        is_wild=random.random() < 0.5,
        position_max_lots=random.choice((0, 30, 100)),
        order_max_lots=Random(f"{seed} order size").choice((0, 0, 3)),
        rates=[draw_rates(random, corrupt_ppm[venue]) for venue in range(venues)],
        events=sorted(events, key=lambda event: event.at_ms),
    )


def draw_ppm(random: Random) -> int:
    """Draw how many frames suffer something: often none, sometimes a few, now and then many."""
    return 0 if random.random() < 0.5 else round(PPM_MAX ** random.random())


def draw_rates(random: Random, corrupt_ppm: int) -> Rates:
    """Draw what market data frames suffer."""
    return Rates(
        drop_ppm=draw_ppm(random),
        duplicate_ppm=draw_ppm(random),
        reorder_ppm=draw_ppm(random),
        truncate_ppm=draw_ppm(random),
        reorder_frames=random.randint(1, 6),
        corrupt_ppm=corrupt_ppm,
    )


def draw_rare_event(random: Random, venues: int) -> Event:
    """Draw one of the rare things that happen."""
    return msgspec.structs.replace(
        draw_event(random, venues, RARE),
        lie=random.randrange(LIES_MAX),
        room_bytes=random.randrange(ROOM_BYTES_MAX),
        step_ns=random.choice((1, -1)) * draw_step_ns(random),
    )


def draw_standstill(random: Random, venues: int) -> Event:
    """Draw when the engine's thread stands still: as often for a moment as for longer than a session bears silence."""
    for_ms = round(STILL_MS_MIN * (STILL_MS_MAX / STILL_MS_MIN) ** random.random())
    return msgspec.structs.replace(draw_event(random, venues, {Happening.STOOD_STILL: 1}), for_ms=for_ms)


def draw_command(random: Random, venues: int) -> Event:
    """Draw a command: any but to end the run, which every seed does at its end."""
    return msgspec.structs.replace(
        draw_event(random, venues, {Happening.COMMANDED: 1}),
        command=int(random.choice([kind for kind in CommandKind if kind != CommandKind.KILL])),
        choice=random.randrange(CHOICES_MAX),
    )


def draw_step_ns(random: Random) -> int:
    """Draw by how much a clock is set: as often by little as by much, and never by what is slewed over."""
    return round(STEP_NS * (STEP_MS_MAX * NS_PER_MS / STEP_NS) ** random.random())


def draw_event(random: Random, venues: int, weights: Mapping[Happening, int]) -> Event:
    """Draw one thing that happens. Only a short cut is one that a connection may outlive."""
    happening = random.choices(list(weights), weights=list(weights.values()))[0]
    longest_ms = {
        Happening.ANSWERS_LATE: LATE_MS_MAX,
        Happening.RING_FULL: FULL_MS_MAX,
        Happening.CONNECTION_CUT: CUT_MS_MAX,
        Happening.ENGINE_KILLED: DOWN_MS_MAX,
        Happening.LINE_LATE: LINE_LATE_MS_MAX,
        Happening.THROTTLED: THROTTLED_MS_MAX,
        Happening.ORDERS_LATE: HELD_MS_MAX,
        Happening.COMMANDED: COMMANDED_MS_MAX,
    }
    at_ms = random.randrange(TRADING_MS)
    if random.random() < 0.2:
        # As the engine leaves: what it does then it does once.
        at_ms = TRADING_MS - 1 - random.randrange(100)
    return Event(
        at_ms=at_ms,
        happening=happening,
        venue=random.randrange(venues),
        gateway=random.randrange(2),
        both=random.random() < 0.5,
        for_ms=random.randint(1, longest_ms.get(happening, 1)),
        # Most of what a restart can get wrong lies between what was booked and the number that says so.
        moment=random.choices(list(Moment), weights=(1, 1, 1, 1, 1, 3))[0],
        count=random.randint(1, COUNT_MAX),
        is_torn=random.random() < 0.3,
        unwritten=random.randint(1, UNWRITTEN_MAX),
    )
