"""The data that a configuration asks for and that is not there yet: generated or imported, never half written."""

import time
from pathlib import Path

from rich.console import Console

from crosswire.engine.config import ConfigError, RunConfig, VenueConfig


def prepare_data(config: RunConfig, config_path: Path, console: Console | None) -> float:
    """Make missing captures as the configuration says; returns the seconds that took.

    ConfigError names a capture that is missing and that nothing says how to make.
    """
    started = time.perf_counter()
    root = config_path.parent
    if config.generate is not None and _missing(config, root):
        from crosswire.engine.generate import generate_captures

        _say(console, f"generating {config.generate.seconds} s of two venues, seed {config.generate.seed} ...")
        try:
            generate_captures(
                root / config.generate.directory,
                seed=config.generate.seed,
                seconds=config.generate.seconds,
                venues=config.generate.venues,
            )
        except ValueError as error:
            raise ConfigError(f"{config_path}: generate: {error}") from None
    for venue in config.venue:
        if venue.recordings and any(not (root / capture).exists() for capture in venue.captures):
            _import(venue, root, config_path, console)
    for path in _missing(config, root):
        raise ConfigError(f"{config_path}: capture {path} does not exist, and nothing configured makes it")
    return time.perf_counter() - started


def _missing(config: RunConfig, root: Path) -> list[Path]:
    captures = [root / capture for venue in config.venue for capture in venue.captures]
    return [path for path in captures if not path.exists()]


def _import(venue: VenueConfig, root: Path, config_path: Path, console: Console | None) -> None:
    from crosswire.engine.imports import import_recording

    if len(venue.recordings) != len(venue.captures):
        raise ConfigError(f"{config_path}: venue {venue.name}: recordings and captures must pair up one to one")
    for recording, capture in zip(venue.recordings, venue.captures, strict=True):
        source = root / recording
        if not source.exists():
            raise ConfigError(f"{config_path}: venue {venue.name}: recording {source} does not exist")
        if not (root / capture).exists():
            _say(console, f"importing {source} ...")
            import_recording(venue, source, root / capture)


def _say(console: Console | None, text: str) -> None:
    if console is not None:
        console.print(text, markup=False, highlight=False)
