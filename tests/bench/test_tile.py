"""A tiled capture is what the recording would be if it went on and on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.engine.generate import generate_captures
from tests.bench.tile import tile_capture
from tests.support.paths import ROOT

TILES = 3

# Uncompiled, as in test_generate.py: so small a capture is decoded sooner than the decoder is compiled.
TILE_AND_INSPECT = """
import dataclasses, json, sys
from pathlib import Path
from crosswire.engine.generate import generate_captures
from crosswire.engine.inspect import inspect_captures
from tests.bench.tile import tile_capture
folder, tiles = Path(sys.argv[1]), int(sys.argv[2])
generate_captures(folder, seed=3, seconds=1)
tiled = tile_capture(folder / "bridge.pcap", folder / "tiled.pcap", tiles, 2)
seen = [inspect_captures([folder / name], "bridge") for name in ("bridge.pcap", "tiled.pcap")]
print(json.dumps({"tiled": dataclasses.asdict(tiled), "seen": seen}, default=str))
"""


def test_a_tiled_capture_decodes_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TILE_AND_INSPECT, str(tmp_path), str(TILES)]
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    once, tiled = facts["seen"]
    assert tiled["packets"] == TILES * once["packets"] == facts["tiled"]["packets"]
    assert tiled["messages"] == {name: TILES * count for name, count in once["messages"].items()}
    # The recording's own gaps come again in each tile, and its last packets are not missed between tiles.
    assert tiled["gaps"] == TILES * once["gaps"] > 0
    assert tiled["channels"][0]["last_sequence"] == TILES * once["channels"][0]["last_sequence"]
    assert tiled["duplicates"] == 0
    assert tiled["continuity_breaks"] == once["continuity_breaks"] == 0
    assert tiled["rejects"] == {}
    assert tiled["level_updates"] == TILES * once["level_updates"]
    assert tiled["books"] == once["books"]
    assert tiled["last_time_ns"] - once["last_time_ns"] == (TILES - 1) * 2_000_000_000
    assert facts["tiled"]["rows"] >= TILES * (once["level_updates"] + once["messages"]["Trade"])


def test_tiles_that_would_overlap_are_refused(tmp_path: Path) -> None:
    generate_captures(tmp_path, seed=3, seconds=2)
    with pytest.raises(ValueError, match="lasts longer than shift_s = 1"):
        tile_capture(tmp_path / "bridge.pcap", tmp_path / "tiled.pcap", 2, 1)
    assert not (tmp_path / "tiled.pcap").exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"\n" * 100)
    with pytest.raises(ValueError, match="not a plain nanosecond pcap"):
        tile_capture(tmp_path / "other", tmp_path / "tiled.pcap", 2, 1)
