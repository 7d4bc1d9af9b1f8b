"""The monitor's server: what is answered, what is refused and why, each counted, while others are served."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.engine.control.mailbox import CommandKind, Outcome
from crosswire.engine.monitor import admission, confirmation
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.admission import COMMANDS_BURST
from crosswire.engine.monitor.client import Client, NoAnswerError, RefusedError
from crosswire.engine.monitor.keys import CLIENTS, load_client_key, make_keys
from crosswire.engine.monitor.messages import Reason
from crosswire.engine.monitor.server import POST_AGAIN_S, POST_S
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.book.book import refresh_top, set_level
from crosswire.venues.side import ASK, BID
from tests.engine.monitor.support import FakeRun, Monitor, RawClient, make_core, serving

pytestmark = pytest.mark.control


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    with serving(tmp_path / "m") as started:
        yield started


def reason_of(answer: m.AnyAnswer | None) -> Reason:
    assert isinstance(answer, m.Refusal), answer
    assert answer.text
    assert "\n" not in answer.text
    return answer.reason


# ---------------------------------------------------------------- what is answered


def test_a_viewer_sees_what_the_structs_hold(monitor: Monitor) -> None:
    engine = monitor.run.engine
    engine.state.now_ns, engine.state.frames, engine.state.fills = 5_000, 7, 3
    instrument, position = engine.market.instruments[0], engine.gate.positions[0]
    position.position_lots, position.mark_ticks, position.fills = -3, 1_000, 2
    book = engine.market.books[0]
    for side, ticks, lots in ((BID, 999, 4), (BID, 990, 6), (ASK, 1_001, 5)):
        set_level(book, side, ticks, lots)
    refresh_top(book)
    book.valid = 1
    with monitor.client("vera") as client:
        status = client.status()
        assert (status.now_ns, status.frames, status.fills, status.is_alive) == (5_000, 7, 3, True)
        assert (status.state, status.why) == ("active", "")
        row = client.positions().rows[0]
        lot = Decimal(instrument.lot_e9).scaleb(-9)
        tick = Decimal(instrument.tick_e9).scaleb(-9)
        assert (row.position, row.position_lots, row.mark_price) == (-3 * lot, -3, 1_000 * tick)
        shown = client.books([row.instrument], depth=2).rows
        assert [each.instrument for each in shown] == [row.instrument]
        assert (shown[0].is_proven, shown[0].is_torn) == (True, False)
        assert [(level.price, level.size) for level in shown[0].bids] == [(999 * tick, 4 * lot), (990 * tick, 6 * lot)]
        assert [(level.price, level.size) for level in shown[0].asks] == [(1_001 * tick, 5 * lot)]
        assert [len(each.bids) for each in client.books([row.instrument]).rows] == [1]
        assert len(client.books().rows) == len(client.positions().rows) == engine.market.count
        assert client.orders().rows == []
        assert {row.stage for row in client.latencies().rows} >= {"receive_to_send", "order_round_trip"}
        assert [row.venue for row in client.sessions().rows] == [venue.name for venue in monitor.run.config.venue]
        names = {row.name for row in client.parameters().rows}
        assert "limits.loss_max" in names
        assert {row.name for row in client.limits().rows} <= names


def test_an_unproven_book_is_shown_without_its_levels(monitor: Monitor) -> None:
    book = monitor.run.engine.market.books[0]
    book.valid, book.level_bid_ticks, book.level_bid_lots = 0, 999, 4
    with monitor.client("vera") as client:
        row = client.books().rows[0]
        assert (row.is_proven, row.bids, row.asks) == (False, [], [])


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (lambda client: client.pause(), CommandKind.PAUSE),
        (lambda client: client.reduce_only(), CommandKind.REDUCE_ONLY),
        (lambda client: client.cancel_all(), CommandKind.CANCEL_ALL),
        (lambda client: client.kill(), CommandKind.KILL),
    ],
)
def test_what_lessens_is_done_at_once(monitor: Monitor, asked: object, kind: CommandKind) -> None:
    with monitor.client("olga") as client:
        assert asked(client).text  # type: ignore[operator]
    assert [(each.kind, each.client) for each in monitor.run.posted] == [(kind, "olga")]


def test_cancel_all_selects_by_name(monitor: Monitor) -> None:
    with monitor.client("olga") as client:
        venue = monitor.run.config.venue[1]
        client.cancel_all(venue=venue.name, instrument=f"{venue.name}/{venue.instrument[0].symbol}")
        with pytest.raises(RefusedError, match=f"no venue {venue.name}x: did you mean {venue.name}") as caught:
            client.cancel_all(venue=f"{venue.name}x")
    assert caught.value.reason == Reason.UNKNOWN_NAME
    assert [(each.venue, each.instrument, each.strategy) for each in monitor.run.posted] == [
        (1, len(monitor.run.config.venue[0].instrument), -1)
    ]


@pytest.mark.parametrize("outcome", [each for each in Outcome if each >= Outcome.BAD_KIND])
def test_what_the_loop_refuses_is_told_in_a_sentence(tmp_path: Path, outcome: Outcome) -> None:
    config, core = make_core()
    with (
        serving(tmp_path / "m", FakeRun(config, core, tmp_path / "run", outcome)) as monitor,
        monitor.client("olga") as client,
        pytest.raises(RefusedError) as caught,
    ):
        client.pause()
    assert caught.value.reason == Reason.ENGINE
    assert str(caught.value)


# ---------------------------------------------------------------- two steps


def test_what_trades_is_told_first_and_done_once(monitor: Monitor) -> None:
    monitor.run.engine.gate.positions[0].position_lots = 2
    with monitor.client("tess") as client:
        asked = client.flatten()
        assert monitor.run.posted == []
        assert monitor.watch.snapshot is not None
        assert f"of {monitor.watch.snapshot.names[0]}" in asked.text
        assert "immediate-or-cancel" in asked.text
        client.confirm(asked)
        assert [each.kind for each in monitor.run.posted] == [CommandKind.FLATTEN]
        with pytest.raises(RefusedError, match="nothing to confirm") as caught:
            client.confirm(asked)
    assert caught.value.reason == Reason.TOKEN
    assert len(monitor.run.posted) == 1


def test_resume_says_what_stays(monitor: Monitor) -> None:
    gate = monitor.run.engine.gate
    gate.asked[Why.OPERATOR], gate.asked[Why.LOSS_LIMIT] = TradingState.CANCEL_ONLY, TradingState.REDUCE_ONLY
    with monitor.client("tess") as client:
        assert client.resume().text == (
            "take back cancel_only, asked for by operators; what else was asked for stays: reduce_only (loss_limit)"
        )


def test_a_word_is_good_for_its_own_client_and_run_and_for_a_while(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_keys(monitor.keys, "theo", m.Role.TRADER)
    time.sleep(1.1)  # the list is looked at each second
    with monitor.client("tess") as tess, monitor.client("theo") as theo:
        asked = tess.flatten()
        with pytest.raises(RefusedError, match="nothing to confirm"):
            theo.confirm(asked)
        config, core = make_core()
        monitor.watch.show(FakeRun(config, core, tmp_path / "another"))
        with pytest.raises(RefusedError, match="nothing to confirm"):
            tess.confirm(asked)
        monkeypatch.setattr(confirmation, "VALID_S", 0)
        asked = tess.resume()
        time.sleep(0.01)
        with pytest.raises(RefusedError, match="nothing to confirm"):
            tess.confirm(asked)
    assert monitor.run.posted == []


def test_a_set_that_only_tightens_limits_is_one_step_and_another_two(monitor: Monitor) -> None:
    with monitor.client("tess") as client:
        row = next(row for row in client.parameters().rows if row.name == "limits.loss_max")
        assert isinstance(client.set({row.name: str(row.value / 2)}), m.Done)
        assert [each.kind for each in monitor.run.posted] == [CommandKind.SET]
        asked = client.set({row.name: str(row.value * 2)})
        assert isinstance(asked, m.ToConfirm)
        assert f"{row.name} from {row.value:f} to {row.value * 2:f} {row.unit}" in asked.text
        assert len(monitor.run.posted) == 1
        client.confirm(asked)
        assert len(monitor.run.posted) == 2


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e999999999", "-1", "1" * 5000, "0.00000000001"])
def test_a_value_that_is_none_is_refused(monitor: Monitor, value: str) -> None:
    with monitor.client("tess") as client, pytest.raises(RefusedError) as caught:
        client.set({"limits.loss_max": value})
    assert caught.value.reason == Reason.VALUE
    assert len(str(caught.value)) < 400
    assert monitor.run.posted == []


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize(
    ("name", "may"),
    [("vera", set()), ("olga", set(m.LESSENING)), ("tess", {*m.LESSENING, *m.LOOSENING})],
)
def test_each_role_may_do_what_it_may(monitor: Monitor, name: str, may: set[type[m.Ask]]) -> None:
    requests = [each() for each in (m.Pause, m.ReduceOnly, m.CancelAll, m.Kill, m.Resume, m.Flatten)]
    requests.append(m.Set(values={"limits.loss_max": "1"}))
    with monitor.client(name) as client:
        for request in requests:
            if type(request) in may:
                assert isinstance(client.request(request), m.Done | m.ToConfirm)
            else:
                with pytest.raises(RefusedError, match=f"{name} is a ") as caught:
                    client.request(request)
                assert caught.value.reason == Reason.ROLE
        client.status()
    assert monitor.refused("request_role") == len(requests) - len(may)
    assert {each.kind for each in monitor.run.posted} == (
        {CommandKind.PAUSE, CommandKind.REDUCE_ONLY, CommandKind.CANCEL_ALL, CommandKind.KILL} if may else set()
    ) | ({CommandKind.SET} if m.Set in may else set())


def test_who_is_taken_off_the_list_is_refused_with_the_next_request(monitor: Monitor) -> None:
    with monitor.client("vera") as vera, monitor.client("tess") as tess:
        vera.status()
        tess.status()
        place = monitor.keys / CLIENTS
        tables = place.read_text().split("\n\n")
        place.write_text("\n\n".join(table for table in tables if "[vera]" not in table))
        time.sleep(1.2)
        with pytest.raises(RefusedError) as caught:
            vera.status()
        assert caught.value.reason == Reason.CLIENT
        tess.status()
        place.write_text("[broken")
        time.sleep(1.2)
        assert "is not valid TOML" in str(tess.status().warnings[-1])


def test_an_unknown_client_and_a_wrong_server_key_get_no_answer_and_are_counted(
    monitor: Monitor, tmp_path: Path
) -> None:
    make_keys(tmp_path / "other", "vera", m.Role.TRADER)
    (tmp_path / "other" / "server.pub").write_text((monitor.keys / "server.pub").read_text())
    key = monitor.client("vera").key
    stranger = load_client_key(tmp_path / "other", "vera")
    with (
        Client(monitor.address, stranger, 1.5) as client,
        pytest.raises(NoAnswerError, match="is client vera on its list"),
    ):
        client.status()
    assert monitor.refused("key_unknown") >= 1
    assert stranger.public != key.public
    with Client(monitor.address, replace(key, server=stranger.public), 1.5) as client, pytest.raises(NoAnswerError):
        client.status()
    assert monitor.refused("handshake_failed") >= 2
    with monitor.client("vera") as client:
        client.status()


# ---------------------------------------------------------------- what is no request of now


def test_a_recorded_request_is_refused_on_its_own_connection_and_on_another(monitor: Monitor) -> None:
    with RawClient(monitor, "olga") as first:
        first.begin()
        recorded = first.envelope(m.Pause())
        assert isinstance(first.ask(recorded), m.Done)
        assert reason_of(first.ask(recorded)) == Reason.REPLAYED
        with RawClient(monitor, "olga") as second:
            assert reason_of(second.ask(recorded)) == Reason.SESSION
            second.begin()
            assert reason_of(second.ask(recorded)) == Reason.SESSION
        with RawClient(monitor, "tess") as third:
            assert reason_of(third.begin().ask(recorded)) == Reason.SESSION
        first.begin()
        assert reason_of(first.ask(recorded)) == Reason.SESSION
    assert len(monitor.run.posted) == 1
    assert (monitor.refused("request_replayed"), monitor.refused("request_session")) == (1, 4)


def test_a_request_without_a_session_of_another_time_or_version_is_refused(monitor: Monitor) -> None:
    with RawClient(monitor, "olga") as client:
        assert reason_of(client.ask(client.envelope(m.Pause()))) == Reason.SESSION
        client.begin()
        for seconds in (-11, 11):
            sent_ns = time.time_ns() + seconds * 10**9
            assert reason_of(client.ask(client.envelope(m.Pause(), sent_ns=sent_ns))) == Reason.OLD
        assert reason_of(client.ask(client.envelope(m.Pause(), version=m.VERSION + 1))) == Reason.VERSION
    assert monitor.run.posted == []


PLACES = st.integers(0, 1 << 16)  # in a message whose length differs from time to time


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """Draw a message that is no whole request: bytes, a piece of one, one with a part more, or one that was changed."""
    kind = draw(st.sampled_from(["any", "cut", "changed", "parts", "nested"]))
    if kind == "any":
        return [draw(st.binary(max_size=500))]
    if kind == "cut":
        return [whole[: draw(PLACES) % len(whole)]]
    if kind == "parts":
        return [whole, *draw(st.lists(st.binary(max_size=9), min_size=1, max_size=4))]
    if kind == "nested":
        return [b"\x91" * draw(st.integers(1, 10_000))]
    changed = bytearray(whole)
    changed[draw(PLACES) % len(whole)] ^= draw(st.integers(1, 255))
    return [bytes(changed)]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients ask as often as they like."""
    monkeypatch.setattr(admission, "REQUESTS_BURST", 1 << 40)


@pytest.mark.usefixtures("unhurried")
def test_bytes_that_are_no_request_are_refused_and_counted(monitor: Monitor) -> None:
    with RawClient(monitor, "olga") as client:

        @settings(max_examples=300, deadline=None)
        @given(data=st.data())
        def check(data: st.DataObject) -> None:
            client.begin()
            sent = data.draw(spoilt(client.envelope(m.Pause())))
            before, posted = dict(monitor.server.refused), len(monitor.run.posted)
            answer = client.ask(sent)
            if isinstance(answer, m.Refusal):
                assert monitor.server.refused[reason_of(answer)] == before[answer.reason] + 1
                assert len(monitor.run.posted) == posted
            else:  # a flip made another number or time of it: as good as any that its client could have sent
                assert len(sent) == 1
                assert m.decode_envelope(sent[0]).session == client.session

        check()


def test_a_request_that_is_too_long_is_refused_and_a_much_longer_one_ends_its_connection(monitor: Monitor) -> None:
    with RawClient(monitor, "olga", reconnect_ivl=-1) as client, monitor.client("vera") as vera:
        vera.status()
        client.begin()
        long = client.envelope(m.Set(values={f"name{n}": "1" * 50 for n in range(400)}))
        assert m.REQUEST_BYTES_MAX < len(long) < 4 * m.REQUEST_BYTES_MAX
        assert reason_of(client.ask(long)) == Reason.OVERSIZED
        client.send(b"x" * (4 * m.REQUEST_BYTES_MAX + 1))
        assert client.receive(1.0) is None
        vera.status()
    assert monitor.refused("request_oversized") == 1
    assert monitor.refused("connection_rejected") == 1


def test_who_asks_too_often_is_refused_and_another_is_served(monitor: Monitor) -> None:
    with RawClient(monitor, "olga", sndhwm=0, rcvhwm=0) as flood, monitor.client("vera") as vera:
        vera.status()
        flood.begin()
        for _ in range(3_000):
            flood.send(flood.envelope(m.GetStatus()))
        begun = time.monotonic()
        vera.status()
        assert time.monotonic() - begun < 5.0
        deadline = time.monotonic() + 10
        while monitor.refused("request_rate") == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert monitor.refused("request_rate") > 0


def test_who_polls_too_fast_can_still_kill(monitor: Monitor) -> None:
    """On the connection that floods, and from the command line beside, by the same client."""
    with RawClient(monitor, "olga", sndhwm=0, rcvhwm=0) as flood:
        flood.begin()
        for _ in range(3_000):
            flood.send(flood.envelope(m.GetStatus()))
        flood.send(flood.envelope(m.Pause()))
        deadline = time.monotonic() + 20
        while monitor.refused("request_rate") == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        with monitor.client("olga") as client:
            assert client.kill().text.startswith("killed")
        while len(monitor.run.posted) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert monitor.refused("request_rate") > 0
    assert {each.kind for each in monitor.run.posted} == {CommandKind.PAUSE, CommandKind.KILL}


def test_a_loop_that_does_not_answer_is_told_and_others_are_served_meanwhile(monitor: Monitor) -> None:
    monitor.run.is_stopped = True
    with monitor.client("olga") as olga, monitor.client("vera") as vera:
        vera.status()
        for _ in range(10):
            with pytest.raises(RefusedError, match="whether it was done is not known") as caught:
                olga.pause()
            assert caught.value.reason == Reason.NO_ANSWER
        vera.status()
        monitor.run.is_stopped = False
        olga.pause()
        olga.pause()
        # A second for the first, and little for those that follow, until one is answered.
        assert monitor.run.patience_s == [POST_S] + [POST_AGAIN_S] * 10 + [POST_S]
        assert {row.outcome for row in vera.log().rows} == {"no_answer", "done"}


def test_too_many_commands_are_refused_before_they_reach_the_loop(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "COMMANDS_PER_S", 0.0)
    monkeypatch.setattr(admission, "URGENT_PER_S", 0.0)
    with monitor.client("olga") as client:
        reasons = [reason_of_pause(client) for _ in range(COMMANDS_BURST + 20)]
    allowed = COMMANDS_BURST + admission.URGENT_BURST
    assert reasons == [None] * allowed + [Reason.RATE] * (COMMANDS_BURST + 20 - allowed)
    assert len(monitor.run.posted) == allowed


def reason_of_pause(client: Client) -> Reason | None:
    try:
        client.pause()
    except RefusedError as error:
        return error.reason
    return None


def test_a_run_that_can_not_be_read_costs_its_question_alone(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(_snapshot: object) -> None:
        raise TypeError("half-written")

    monkeypatch.setattr("crosswire.engine.monitor.snapshot.Snapshot.positions", torn)
    with monitor.client("vera") as client:
        with pytest.raises(RefusedError, match="could not be read: TypeError: half-written") as caught:
            client.positions()
        assert caught.value.reason == Reason.FAILED
        client.status()


# ---------------------------------------------------------------- no run, no log


def test_without_a_run_commands_and_questions_are_refused_and_the_log_is_not(monitor: Monitor) -> None:
    monitor.watch.show(None)
    with monitor.client("tess") as client:
        for ask in (client.status, client.pause, client.flatten):
            with pytest.raises(RefusedError, match="no run of synthetic is being traded") as caught:
                ask()
            assert caught.value.reason == Reason.NO_ENGINE
        assert [row.outcome for row in client.log().rows] == ["no_engine", "no_engine"]


def test_a_run_that_has_ended_is_shown_and_takes_no_command(monitor: Monitor) -> None:
    monitor.run.alive = False
    with monitor.client("tess") as client:
        assert client.status().is_alive is False
        with pytest.raises(RefusedError, match="no run of synthetic"):
            client.kill()
    assert monitor.run.posted == []


def test_nothing_is_done_that_can_not_be_logged(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monitor.client("tess") as client:
        asked = client.flatten()
        monkeypatch.setattr(monitor.server.log, "_append", full)
        for ask in (client.pause, client.resume, lambda: client.confirm(asked)):
            with pytest.raises(RefusedError, match="nothing is done") as caught:
                ask()
            assert caught.value.reason == Reason.LOG
    assert monitor.run.posted == []


def test_each_command_is_logged_once_with_its_outcome_and_no_token(monitor: Monitor) -> None:
    with monitor.client("tess") as tess, monitor.client("vera") as vera:
        tess.pause()
        asked = tess.flatten()
        tess.confirm(asked)
        with pytest.raises(RefusedError):
            vera.kill()
        vera.status()
        rows = vera.log().rows
    assert [(row.client, row.request, row.outcome) for row in rows] == [
        ("tess", "pause", "done"),
        ("tess", "flatten", "to_confirm"),
        ("tess", "flatten", "done"),
        ("vera", "", "role"),
    ]
    content = (monitor.folder / "commands.jsonl").read_text()
    assert asked.token not in content
    assert content.count('"outcome": "begun"') == 2


def test_who_follows_a_monitor_is_told_that_it_is_gone_and_finds_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    with serving(folder) as monitor:
        client = monitor.client("vera")
        following = client.follow(0.0)
        assert isinstance(next(following), m.Status)
    client.timeout_s = 0.3
    assert isinstance(next(following), NoAnswerError)
    client.timeout_s = 20.0
    config, core = make_core()
    with serving(folder, FakeRun(config, core, tmp_path / "run")):
        assert isinstance(next(following), m.Status)
    client.close()


@pytest.mark.usefixtures("unhurried")
def test_a_quick_client_gets_every_answer(monitor: Monitor) -> None:
    with monitor.client("vera") as client:
        for _ in range(150):
            client.status()
            client.positions()
    assert monitor.refused("reply_dropped") == 0


def test_one_client_serves_several_threads(monitor: Monitor) -> None:
    with monitor.client("vera") as client, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client.status if number % 2 else client.positions) for number in range(80)]
        assert {type(each.result()) for each in asked} == {m.Status, m.Positions}
