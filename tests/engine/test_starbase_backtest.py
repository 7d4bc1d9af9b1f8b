"""The Starbase example as a backtest: the engine's accounts against the exchange's own, and the same run twice."""

from pathlib import Path

import pytest

from crosswire.engine.build.run import build_run
from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.generate import generate_captures
from crosswire.venues.starbase.exchange.account import CLIENT
from tests.support.paths import ROOT
from tests.support.short_run import finished_run

EXAMPLE = ROOT / "examples" / "starbase.toml"
SECONDS = 5
pytestmark = pytest.mark.starbase


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starbase")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=SECONDS)
    (folder / "examples").mkdir()
    path = folder / "examples" / "run.toml"
    path.write_text(EXAMPLE.read_text().replace("seconds = 120", f"seconds = {SECONDS}"))
    return path


def test_the_engines_positions_are_the_exchanges_own_and_a_run_repeats(config_path: Path) -> None:
    first = finished_run(config_path)
    part, engine = first.parts[0], first.engine
    member = part.exchange.matching.members[CLIENT]
    session = part.session
    assert session.orders_sent > 20
    assert member.new_orders == session.orders_sent
    assert member.duplicate_orders == member.open_orders == 0
    assert member.fills > 20
    own = [index for index in range(engine.market.count) if engine.market.instruments[index].venue == 0]
    assert len(own) == 2
    for index in own:
        assert engine.gate.positions[index].position_lots == member.position_lots[index]
        assert engine.seats[0].desk.positions[index].position_lots == member.position_lots[index]
    assert engine.gate.alarms == 0
    assert sum(part.exchange.gateways.mistakes) == sum(session.links[0].stream.faults) == 0
    assert part.feed.sequence_gaps == 0
    # The legs at the venue with the speed bump were held there, and both links stayed up.
    assert member.held_orders == 0
    assert first.digests() == finished_run(config_path).digests()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('orders = "starbase"', 'orders = "bridge"', "captures is empty"),
        ("[venue.starbase.market]", "[venue.simulation.market]", "unknown field `market`"),
        ('follow = "bridge/BTCUSDT"', 'follow = "bridge/ETHUSDT"', "no instrument with captures"),
        ('follow = "bridge/BTCUSDT"\n', "", "starbase.market.first_price: BTC-PERPETUAL is missing"),
        ("lots = 200", "lots = 200\nheartbeat_s = 0", "heartbeat_s must be in 1..3600, not 0"),
        ("speed_bump_us = 10_000", "speed_bump_us = 2_000_000", "speed_bump_us = 2000000 must be in 0..1000000"),
        ("self_match_prevention_id = 1", 'credentials = "none.toml"', "credentials can't be read: No such file"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(config_path: Path, old: str, new: str, message: str) -> None:
    text = config_path.read_text()
    assert old in text
    path = config_path.with_name("bad.toml")
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        build_run(load_config(path), path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
