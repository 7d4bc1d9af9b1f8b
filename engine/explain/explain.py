"""`crosswire explain`: a live run again, beside a backtest of what it saw, and why the two differ."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from crosswire.engine.config import RunConfig
from crosswire.engine.errors import ExplainError
from crosswire.engine.explain.findings import Cause, Finding, Findings, Money, add_money, sum_money
from crosswire.engine.explain.happened import find_happened, leaving_ns, ready_ns
from crosswire.engine.explain.judge import Judge, terms_text
from crosswire.engine.explain.lives import Life, Lives, lives_of
from crosswire.engine.explain.model import Backtest, backtest_again, backtest_orders
from crosswire.engine.explain.reading import Told, read_told
from crosswire.engine.explain.replay import Replay, Replayed, config_of, open_capture
from crosswire.engine.explain.valuing import Valuing
from crosswire.engine.journal.description import need_description
from crosswire.engine.report.currency import e9
from crosswire.nic.journal.files import FOLDER, is_being_written
from crosswire.nic.memory.struct import copy_struct
from crosswire.nic.warning import DataWarning
from crosswire.risk.position import Position

READY_NS = 1_000_000  # that a session may be ready later than in the backtest without a word
EXPLAINED_KINDS = ("live", "simulation")


@dataclass
class Side:
    """Orders, fills and P&L of one side."""

    orders: int
    fills: int
    profit_e9: Money  # by settlement currency


@dataclass
class Explained:
    """What `explain` has found out about one run."""

    run: Path
    capture: Path
    replayed: Replayed
    live: Side
    backtest: Side
    findings: list[Finding]
    remainder_e9: Money
    warnings: list[DataWarning] = field(default_factory=list)

    @property
    def is_explained(self) -> bool:
        """Tell whether the replay gave every order again, every difference has a cause, and the sum is right."""
        return self.replayed.is_same and not self.remainder_e9 and all(each.is_explained for each in self.findings)

    @property
    def direct_e9(self) -> Money:
        """Sum the effects of the causes on the very orders that they met."""
        return sum_money(each.effect_e9 for each in self.findings if each.cause != Cause.FOLLOWS)

    @property
    def followed_e9(self) -> Money:
        """Sum what the strategies' other orders afterwards made of it, which no single cause can be told of."""
        return sum_money(each.effect_e9 for each in self.findings if each.cause == Cause.FOLLOWS)

    def facts(self) -> dict[str, Any]:
        """Put it into one JSON object."""
        return {
            "run": str(self.run),
            "capture": str(self.capture),
            "is_explained": self.is_explained,
            "replay": replay_facts(self.replayed),
            "live": side_facts(self.live),
            "backtest": side_facts(self.backtest),
            "findings": [finding_facts(each) for each in self.findings],
            "direct": money_of(self.direct_e9),
            "followed": money_of(self.followed_e9),
            "remainder": money_of(self.remainder_e9),
            "warnings": [
                {"kind": each.kind, "count": each.count, "first_place": each.first_place, "what_to_do": each.what_to_do}
                for each in self.warnings
            ],
        }


def replay_facts(replayed: Replayed) -> dict[str, Any]:
    """Put what became of the replay into JSON."""
    return {
        "is_same": replayed.is_same,
        "turns": replayed.turns,
        "frames": replayed.frames,
        "missing_frames": sum(replayed.missing.values()),
        "venues": [
            {"venue": each.venue, "orders_sent": len(each.sent), "orders_again": len(each.again), "same": each.same}
            for each in replayed.venues
        ],
    }


def side_facts(side: Side) -> dict[str, Any]:
    """Put one side's figures into JSON."""
    return {"orders": side.orders, "fills": side.fills, "profit": money_of(side.profit_e9)}


def finding_facts(finding: Finding) -> dict[str, Any]:
    """Put one finding into JSON."""
    return {
        "cause": finding.cause.name.lower(),
        "says": str(finding.cause),
        "venue": finding.venue,
        "detail": finding.detail,
        "first_ns": finding.first_ns,
        "last_ns": finding.last_ns,
        "count": finding.count,
        "orders": finding.orders,
        "text": finding.text,
        "effect": money_of(finding.effect_e9),
    }


def money_of(sums_e9: Money) -> dict[str, str]:
    """Show money by currency, to 1e-9 of each."""
    return {currency: f"{Decimal(e9(round(amount))):f}" for currency, amount in sorted(sums_e9.items())}


def explain_run(run: Path, capture: Path | None = None) -> Explained:
    """Explain one run. ExplainError, ConfigError, CaptureError, JournalError, LoopError: one line each."""
    run = run.resolve()
    told = read_run(run)
    config, config_path = config_of(told)
    folder = capture if capture is not None else Path(told.description.capture)
    if capture is None and not told.description.capture:
        raise ExplainError(f"{run}: what its loop saw was not kept; trade with crosswire live ... --capture FOLDER")
    captures = open_capture(told, folder, told.description.venues)
    replay = Replay(told, captures)
    began = copy_positions(replay)
    replayed = replay.follow_all()
    valuing = make_valuing(replay, told)
    live = lives_of(told.records)
    findings = Findings()
    find_happened(told, findings, leaving_ns(told))
    model = backtest_orders(config, config_path, captures, told.records, live)
    Judge(findings, valuing, told.description.venues).judge_all(live, model.lives)
    again = backtest_again(config, config_path, captures)
    lives = before(again.lives, leaving_ns(told))
    find_late_logons(told, again, findings)
    find_what_follows(model.lives, lives, findings, valuing)
    find_missing(replayed, findings)
    live_e9 = live_profit(replay, valuing, live, began)
    backtest_e9 = valuing.fills_e9(lives.all_fills())
    remainder_e9 = dict(live_e9)
    add_money(remainder_e9, backtest_e9, -1)
    add_money(remainder_e9, sum_money(each.effect_e9 for each in findings.all), -1)
    return Explained(
        run,
        folder,
        replayed,
        Side(len(live.orders), len(live.all_fills()), live_e9),
        Side(len(lives.orders), len(lives.all_fills()), backtest_e9),
        findings.in_order(),
        remainder_e9,
        [*warnings_of(told), *stand_ins(config)],
    )


def read_run(run: Path) -> Told:
    """Read a run's journal. ExplainError: it is none that can be explained."""
    description = need_description(run)
    if description.kind not in EXPLAINED_KINDS:
        raise ExplainError(f"{run}: is a {description.kind}; what is explained is a live run")
    return read_told(run, description)


def copy_positions(replay: Replay) -> list[Position]:
    """Copy what the engine holds now."""
    engine, copies = replay.run.engine, []
    for index in range(engine.market.count):
        copies.append(Position())
        copy_struct(copies[-1], engine.gate.positions[index])
    return copies


def make_valuing(replay: Replay, told: Told) -> Valuing:
    """Take the marks that the replayed engine has now."""
    engine = replay.run.engine
    count = engine.market.count
    return Valuing(
        [engine.market.instruments[index] for index in range(count)],
        [info.settlement for info in told.description.instruments],
        [engine.gate.positions[index].mark_ticks for index in range(count)],
    )


def live_profit(replay: Replay, valuing: Valuing, live: Lives, began: list[Position]) -> Money:
    """Tell what the run earned: by the account of the engine that did the same, else by the journal's fills.

    What was held when it began is taken at the last mark, too: what that gained or lost since is no trade's.
    """
    if not replay.found.is_same:
        return valuing.fills_e9(live.all_fills())
    positions = replay.run.engine.gate.positions
    sums: Money = {}
    for index, begun in enumerate(began):
        earned_e9 = valuing.account_e9(index, positions[index]) - valuing.account_e9(index, begun)
        add_money(sums, {valuing.currencies[index]: earned_e9})
    return sums


def before(lives: Lives, until_ns: int) -> Lives:
    """Leave out the orders that a backtest sent once the live run had begun to end."""
    kept = {order_id: life for order_id, life in lives.orders.items() if life.sent_ns < until_ns}
    return Lives(kept, lives.strange_fills)


def find_late_logons(told: Told, again: Backtest, findings: Findings) -> None:
    """Add the sessions that were ready later than in the backtest."""
    venues = told.description.venues
    ours, theirs = ready_ns(told.records, len(venues)), ready_ns(again.records, len(venues))
    for name, live_ns, backtest_ns in zip(venues, ours, theirs, strict=True):
        if backtest_ns and (live_ns == 0 or live_ns - backtest_ns > READY_NS):
            text = f"{(live_ns - backtest_ns) / 1e6:,.1f} ms later" if live_ns else "never"
            findings.add(Cause.NOT_READY, name, backtest_ns, text=text, until_ns=live_ns)


def find_what_follows(model: Lives, lives: Lives, findings: Findings, valuing: Valuing) -> None:
    """Add the orders that the strategies would have sent otherwise; they follow from an earlier difference, if any."""
    ours, theirs = model.in_order(), lives.in_order()
    same = 0
    while same < min(len(ours), len(theirs)) and is_same_order(ours[same], theirs[same]):
        same += 1
    if same == len(ours) == len(theirs):
        return
    rest = [life for each in (ours, theirs) for life in each[same:]]
    time_ns = min(life.sent_ns for life in rest)
    effect = valuing.fills_e9(model.all_fills())
    add_money(effect, valuing.fills_e9(lives.all_fills()), -1)
    is_led = any(each.first_ns <= time_ns for each in findings.all)
    first = min(rest, key=lambda life: life.sent_ns)
    whose = "the backtest" if any(life is first for life in theirs) else "the live run"
    text = f"from order {same + 1} on: {whose} sent {terms_text(first)}"
    until_ns = max(life.sent_ns for life in rest)
    cause = Cause.FOLLOWS if is_led else Cause.UNKNOWN
    findings.add(cause, "", time_ns, detail="" if is_led else "orders", text=text, effect_e9=effect, until_ns=until_ns)


def is_same_order(one: Life, other: Life) -> bool:
    """Tell whether two runs sent the same order then."""
    terms = ("instrument", "side", "time_in_force", "price_ticks", "qty_lots")
    return one.sent_ns == other.sent_ns and all(one.terms[name] == other.terms[name] for name in terms)


def find_missing(replayed: Replayed, findings: Findings) -> None:
    """Add the frames that the loop took and the capture does not have."""
    for venue, missing in replayed.missing.items():
        if missing:
            text = f"{missing:,} frames were taken that are in no file; what follows them is not proven"
            findings.add(Cause.NOT_CAPTURED, venue, replayed.first_ns, text=text, until_ns=replayed.last_ns)


def stand_ins(config: RunConfig) -> list[DataWarning]:
    """Say which venues' orders were judged by another exchange than the simulated one of that venue."""
    names = [venue.name for venue in config.venue if not venue.order_entry.replays]
    if not names:
        return []
    what = "doubt what differs in fills there: the exchange over captures has another order book and no speed bump"
    return [
        DataWarning(kind="venues judged by an exchange over captures in place of their own", count=len(names),
                    first_place=f"venue {names[0]}", what_to_do=what)
    ]  # fmt: skip


def warnings_of(told: Told) -> list[DataWarning]:
    """Say what makes the explanation less than the whole truth."""
    warnings = []
    if told.defect:
        what = "its records up to there are explained; see crosswire journal --verify"
        warnings.append(DataWarning(kind="damaged journals", count=1, first_place=told.defect, what_to_do=what))
    elif not told.is_closed:
        is_running = is_being_written(told.folder / FOLDER)
        kind = "runs that have not ended" if is_running else "runs that did not end by themselves"
        what = "explain it again when it has ended" if is_running else "it is explained as far as its records go"
        warnings.append(DataWarning(kind=kind, count=1, first_place=str(told.folder), what_to_do=what))
    return warnings
