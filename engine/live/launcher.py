"""`crosswire live --launcher onload`: the same command again, under a program that takes over its socket calls.

OpenOnload (`onload`) and VMA (`vma_loader`, LD_PRELOAD) put their own stack under a process by replacing libc's socket
functions, which is all that the rings of kind "sockets" call: tests/nic/rings/test_interceptable.py counts them.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from crosswire.engine.config import ConfigError, parse_config, read_config_text
from crosswire.engine.configuration.settings import set_text


def launch(launcher: str, config_path: Path, arguments: list[str], settings: Sequence[str] = ()) -> NoReturn:
    """Become `launcher python -m crosswire.engine.cli ARGUMENTS`. ConfigError: no such program, or no ring it helps."""
    program = shutil.which(launcher)
    if program is None:
        raise ConfigError(f"--launcher {launcher}: there is no such program in PATH")
    for venue in parse_config(set_text(read_config_text(config_path), config_path, settings), config_path).venue:
        if venue.live is not None and venue.live.ring != "sockets":
            raise ConfigError(
                f"{config_path}: venue {venue.name}: --launcher {launcher} takes over sockets, "
                f'not ring "{venue.live.ring}"; set ring = "sockets"'
            )
    os.execv(program, [program, sys.executable, "-m", "crosswire.engine.cli", *arguments])
