"""Make the wheel, with machine code of what ships in it: `python -m tests.wheel [FOLDER]`, by default dist.

What the examples and the commands on their runs compile goes into the package's folder `units`, compiled for any x86
server since 2015 (`nic/unit/ready.py`). All is done on a copy: nothing is left in the checkout but the wheel.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from crosswire.nic.unit.ready import READY
from crosswire.nic.unit.store import SUFFIX
from tests.support.paths import ROOT

PARTS = ("nic", "venues", "risk", "strategies", "engine", "examples", "src", "pyproject.toml", "README.md", "LICENSE")
# In an empty folder, with its examples: everything that a new user is shown, so that nothing of it compiles.
COMMANDS = (
    ("backtest", "examples/synthetic.toml"),
    ("backtest", "examples/starbase.toml"),
    ("inspect", "data/synthetic/deribit.pcap", "--venue", "deribit"),
    ("inspect", "data/synthetic/bridge.pcap", "--venue", "bridge"),
    ("show", "runs/synthetic/latest", "order", "1"),
)

# What live runs are made of, over every kind of ring, which they need no network for; and the strategies of no example.
LIVE = """
from pathlib import Path
from msgspec.structs import replace
from crosswire.engine.build.run import build_core
from crosswire.engine.config import load_config
from crosswire.engine.live.live import compile_all
from crosswire.engine.live.rings import MARKET_RINGS
from crosswire.engine.seat import strategy_unit
from crosswire.nic.clock import LiveClock
from crosswire.nic.unit.unit import load_units
from crosswire.strategies.basis import Basis
from crosswire.strategies.lead_lag import LeadLag

for path in map(Path, ("examples/synthetic.toml", "examples/starbase.toml")):
    config = load_config(path)
    for ring in MARKET_RINGS:
        venues = [replace(each, live=replace(each.live, ring=ring)) for each in config.venue]
        for is_captured in (False, True):
            here = replace(config, venue=venues)
            compile_all(here, path, build_core(here, path), LiveClock(), is_captured)
load_units([strategy_unit(Basis), strategy_unit(LeadLag)])
"""


def copy_project(folder: Path) -> None:
    """Copy what a wheel is built from."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)


def compile_units(project: Path, work: Path) -> list[Path]:
    """Run the commands from a copy of the project in the folder `work`, with a store of its own; the units' files."""
    environment = os.environ | {
        "PYTHONPATH": str(project / "src"),
        "CROSSWIRE_CACHE": str(work / "cache"),
        "CROSSWIRE_PROCESSOR": READY.processor,
        "CROSSWIRE_LLVM_LEVEL": str(READY.level),
    }
    shutil.copytree(project / "examples", work / "examples")
    for command in [*(["-m", "crosswire.engine.cli", *each] for each in COMMANDS), ["-c", LIVE]]:
        subprocess.run([sys.executable, *command], cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)
    return sorted((work / "cache" / "units").glob(f"*{SUFFIX}"))


def build(project: Path, target: Path) -> Path:
    """Build the wheel of a project into the folder `target`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    return target / f"crosswire-{version}-py3-none-any.whl"


def make_wheel(target: Path) -> Path:
    """Make the wheel, units in it, in the folder `target`."""
    with tempfile.TemporaryDirectory(prefix="crosswire-wheel-") as name:
        project, work = Path(name) / "project", Path(name) / "work"
        project.mkdir()
        work.mkdir()
        copy_project(project)
        units = compile_units(project, work)
        (project / "units").mkdir()
        for path in units:
            shutil.copyfile(path, project / "units" / path.name)
        return build(project, target.absolute())


if __name__ == "__main__":
    print(make_wheel(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
