"""Configuration errors are one line with file, key, value and reason; no limit has a default."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from crosswire.engine.config import ConfigError, load_config
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
TEXT = (EXAMPLES / "synthetic.toml").read_text()


def write(folder: Path, edit: Callable[[str], str]) -> Path:
    path = folder / "run.toml"
    edited = edit(TEXT)
    assert edited != TEXT
    path.write_text(edited)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize(
    "name", ["synthetic.toml", "binance-btc.toml", "binance-eth.toml", "starbase.toml", "deribit-binance.toml"]
)
def test_examples_are_valid(name: str) -> None:
    config = load_config(EXAMPLES / name)
    assert len(config.venue) >= 2


def test_numbers_are_exact_decimals() -> None:
    for venue in load_config(EXAMPLES / "synthetic.toml").venue:
        for instrument in venue.instrument:
            assert isinstance(instrument.tick, Decimal)


def test_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace("loss_max", "loss_may")))
    assert "limits" in message
    assert "loss_may" in message


@pytest.mark.parametrize(
    "key", ["loss_max", "net_max", "gross_max", "order_max", "position_max", "price_max", "price_collar_bps"]
)
def test_no_limit_has_a_default(tmp_path: Path, key: str) -> None:
    without = "\n".join(line for line in TEXT.splitlines() if not line.startswith(f"{key} ="))
    message = error_of(write(tmp_path, lambda _text: without))
    assert key in message


def test_wrong_value_is_shown_with_its_key(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace("loss_max = ", "loss_max = true #")))
    assert "limits.loss_max = True" in message


@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("\n[limits]", "\n[limts]", "top level"),
        ("loss_max = ", "los_max = ", "limits"),
        ("orders_per_second = 1_000", "order_per_second = 1_000", "limits.account"),
        ("net_max = 50_000", "nett_max = 50_000", "limits.underlying[...]"),
        ("captures = [", "capture = [", "venue[0]"),
        ("interface = ", "interfaces = ", "venue[0].live"),
        ("taker_fee_bps = ", "taker_fees_bps = ", "venue[0].instrument[0]"),
        ("book_age_max_ms = ", "book_age_ms = ", "venue[0].instrument[0].limits"),
        ("parameters]", "parameter]", "strategy"),
    ],
)
def test_a_key_that_is_nearly_one_is_told_which_was_meant(tmp_path: Path, right: str, wrong: str, where: str) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace(right, wrong, 1)))
    unknown, meant = (each.strip("[]\n").split(" =")[0].removeprefix("strategy.") for each in (wrong, right))
    assert f"{where}: object contains unknown field `{unknown}`: did you mean `{meant}`?" in message


def test_a_key_that_is_like_none_is_no_riddle(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: "zzz = 1\n" + text))
    assert message.endswith("top level: object contains unknown field `zzz`")


def test_an_unknown_venue_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, lambda text: text.replace('feed = "deribit"', 'feed = "deribitt"')))
    assert "venue deribit: feed = deribitt: unknown venue deribitt; known are " in message
    assert "bridge, deribit, starbase" in message


def test_a_venues_own_table_is_its_adapters(tmp_path: Path) -> None:
    text = (EXAMPLES / "starbase.toml").read_text()
    path = tmp_path / "run.toml"
    for old, new, wrong in (
        ("self_match_prevention_id = 1", "self_match = 1", "venue starbase: starbase: object contains unknown field"),
        ("self_match_prevention_id = 1", 'self_match_prevention_id = "1"', "starbase.self_match_prevention_id = 1"),
        ("events_per_second = 2_000", "events_per_second = true", "starbase.market.events_per_second = True"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        assert wrong in error_of(path)


def test_one_venue_has_no_table_of_another(tmp_path: Path) -> None:
    more = "\n[venue.starbase]\ntokens_per_ms = 1\n\n[venue.live]"
    message = error_of(write(tmp_path, lambda text: text.replace("\n[venue.live]", more, 1)))
    assert "unknown field `starbase`" in message


@pytest.mark.parametrize(
    ("feed", "wrong"),
    [
        ('feed = "limits"', "venue.feed = limits: is a key of every venue"),
        ("feed = 3", "feed = 3"),
        ('feed = "deribit"\nderibit = 3', "venue deribit: deribit = 3: expected `object`"),
        ('feed = "deribit"\nderibit = { depth = 3 }', "deribit: object contains unknown field `depth`"),
        ('feed = "deribit"\nsettings = {}', "unknown field `settings`"),
        ('feed = "deribit"\norders = "fix"', 'orders = "fix": feed = "deribit" takes "bridge"'),
    ],
)
def test_a_bad_feed_is_refused_by_name(tmp_path: Path, feed: str, wrong: str) -> None:
    assert wrong in error_of(write(tmp_path, lambda text: text.replace('feed = "deribit"', feed)))


def test_what_the_order_entry_can_not_do_is_refused(tmp_path: Path) -> None:
    second = 'gateway = "10.98.0.2:9000"\ngateway_b = "10.98.0.2:9001"'
    message = error_of(write(tmp_path, lambda text: text.replace('gateway = "10.98.0.2:9000"', second)))
    assert 'live.gateway_b: orders = "bridge" has one gateway' in message
    message = error_of(
        write(tmp_path, lambda text: text.replace('captures = ["../data/synthetic/deribit.pcap"]\n', ""))
    )
    assert "venue deribit: captures is empty" in message
    path = tmp_path / "starbase.toml"
    text = (EXAMPLES / "starbase.toml").read_text()
    path.write_text(text.replace('orders = "starbase"', 'captures = ["a.pcap"]'))
    message = error_of(path)
    assert 'with orders = "starbase" the exchange makes its market data itself' in message
    assert 'replay them with orders = "bridge"' in message


def test_a_venue_twice_and_no_venue_and_no_file(tmp_path: Path) -> None:
    names = [line for line in TEXT.splitlines() if line.startswith('name = "')]
    message = error_of(write(tmp_path, lambda text: text.replace(names[2], names[1])))
    assert "used twice" in message
    assert "no such file" in error_of(tmp_path / "absent.toml")
    assert "can't be read" in error_of(tmp_path)
    (tmp_path / "bad.toml").write_text("name = [")
    assert "not valid TOML" in error_of(tmp_path / "bad.toml")


NAMES = ["../../x", "/etc/x", "a/b", "..", ".hidden", "", "a b", "a\\nb", "é", "x" * 65, "a\\u0000b"]
KEYS = [
    ('name = "synthetic"', "name"),
    ('name = "deribit"', "venue.name"),
    ('use = "cross_spread"', "strategy.name"),
    ('namespace = "cw-engine"', "live.namespace"),
    ('exchange_namespace = "cw-exchange"', "live.exchange_namespace"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("line", "key"), KEYS, ids=[key for _, key in KEYS])
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path, line: str, key: str, name: str) -> None:
    kept = f"{line}\nname" if key == "strategy.name" else line.partition(" = ")[0]
    if name == "" and key not in ("name", "venue.name"):  # these are then not given
        return
    message = error_of(write(tmp_path, lambda text: text.replace(f"\n{line}\n", f'\n{kept} = "{name}"\n', 1)))
    assert f": {key} = '" in message
    assert message.endswith("a name is letters, digits, `.`, `_`, `-`, not beginning with a dot, at most 64 characters")


@pytest.mark.parametrize("name", ["x", "A-1_b.c", "_", "-", "x" * 64, "1"])
def test_a_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    assert load_config(write(tmp_path, lambda text: text.replace('"synthetic"', f'"{name}"', 1))).name == name


def test_a_group_names_its_source_or_says_that_any_will_do(tmp_path: Path) -> None:
    bare = write(tmp_path, lambda text: text.replace('"10.98.1.2@239.1.1.1:6200"', '"239.1.1.1:6200"'))
    assert error_of(bare).endswith(
        'venue bridge: live.groups: 239.1.1.1:6200 names no source: write "<its sender\'s address>@239.1.1.1:6200", '
        "or any_source = true to believe whoever sends to it"
    )
    any_will_do = write(
        tmp_path,
        lambda text: text.replace('"10.98.1.2@239.1.1.1:6200"]', '"239.1.1.1:6200"]\nany_source = true'),
    )
    live = load_config(any_will_do).venue[1].live
    assert live is not None
    assert live.any_source
