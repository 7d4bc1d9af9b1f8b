"""A backtest that takes two seconds of made-up data."""

from pathlib import Path

from crosswire.engine.generate import generate_captures
from tests.support.paths import ROOT


def two_seconds(folder: Path, seed: int) -> Path:
    """The default example's configuration in `folder`, over two seconds of data generated there."""
    generate_captures(folder / "data" / "synthetic", seed=seed, seconds=2)
    (folder / "examples").mkdir()
    config = folder / "examples" / "run.toml"
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    config.write_text(text.replace("seconds = 120", "seconds = 2"))
    return config
