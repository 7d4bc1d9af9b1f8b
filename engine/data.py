"""The data that a configuration asks for and that does not exist yet: generated or imported, never half written."""

import time
from pathlib import Path

from rich.console import Console

from crosswire.engine.captures import is_there
from crosswire.engine.config import ConfigError, RunConfig, VenueConfig
from crosswire.engine.paths import PREFIX, missing_recording, named_path


def prepare_data(config: RunConfig, config_path: Path, console: Console | None) -> float:
    """Make missing captures as the configuration says; return how many seconds that took.

    ConfigError names a capture that is missing if nothing says how to make it.
    """
    started = time.perf_counter()
    root = config_path.parent
    if config.generate is not None and _missing(config, root):
        from crosswire.engine.generate import generate_captures

        made = "three books" if config.generate.market == "triangle" else "two venues"
        _say(console, f"generating {config.generate.seconds} s of {made}, seed {config.generate.seed} ...")
        try:
            generate_captures(
                root / config.generate.directory,
                seed=config.generate.seed,
                seconds=config.generate.seconds,
                venues=config.generate.venues,
                market=config.generate.market,
            )
        except ValueError as error:
            raise ConfigError(f"{config_path}: generate: {error}") from None
    for venue in config.venue:
        if venue.recordings and any(not is_there(root, capture) for capture in venue.captures):
            _import(venue, root, config_path, console)
    for capture in _missing(config, root):
        why = f"capture {root / capture} does not exist, and nothing configured makes it"
        raise ConfigError(f"{config_path}: {_why_missing(capture, why)}")
    return time.perf_counter() - started


def _missing(config: RunConfig, root: Path) -> list[str]:
    captures = [capture for venue in config.venue for capture in venue.captures]
    return [capture for capture in captures if not is_there(root, capture)]


def _why_missing(name: str, otherwise: str) -> str:
    return missing_recording(name) if name.startswith(PREFIX) else otherwise


def _import(venue: VenueConfig, root: Path, config_path: Path, console: Console | None) -> None:
    from crosswire.engine.imports import import_missing

    if len(venue.recordings) != len(venue.captures):
        raise ConfigError(f"{config_path}: venue {venue.name}: recordings and captures must pair up one to one")
    pairs = []
    for recording, capture in zip(venue.recordings, venue.captures, strict=True):
        source, target = named_path(root, recording), named_path(root, capture)
        if not source.exists():
            why = _why_missing(recording, f"recording {source} does not exist")
            raise ConfigError(f"{config_path}: venue {venue.name}: {why}")
        if not target.exists():
            _say(console, f"importing {source} ...")
        pairs.append((source, target))
    import_missing(venue, pairs)


def _say(console: Console | None, text: str) -> None:
    if console is not None:
        console.print(text, markup=False, highlight=False)
