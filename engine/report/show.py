"""`crosswire show`: one opportunity, trade or order, with its books, messages and latencies at that moment."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from crosswire.engine.build.market import instrument_names
from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.report.moment import BookShown, Source, books_at, messages_around
from crosswire.engine.report.recorder import CONFIG
from crosswire.engine.report.rows import Found, Rows, found_lines
from crosswire.engine.report.text import duration_text, precise_time_text


def show(folder: Path, kind: str, number: int, captures: Mapping[str, Path]) -> Iterator[str]:
    """Describe a row of a run line by line. ConfigError: no such run or row; CaptureError: a bad file."""
    rows = Rows(folder)
    found = rows.find(kind, number)
    source = Source(
        load_config(folder / CONFIG), Path(rows.summary.config_file), captures, is_live=rows.summary.kind == "live"
    )
    names = [venue.name for venue in source.config.venue]
    if unknown := [name for name in captures if name not in names]:
        raise ConfigError(f"--capture {unknown[0]}: the run has the venues {', '.join(names)}")
    if strange := [name for name in found.instruments if name not in instrument_names(source.config)]:
        raise ConfigError(
            f"{folder / CONFIG} has no instrument {strange[0]}, but the run; crosswire report {folder} makes it anew"
        )
    yield from found_lines(found)
    numbers = sorted({names.index(name.partition("/")[0]) for name in found.instruments})
    if why := source.missing(numbers):
        yield f"no books and messages: {why}"
        return
    yield from _books(source, found)
    moment = next((ns for name, ns in found.moments.items() if name != "just before"), 0)
    for each in numbers:
        before, after = messages_around(source, each, moment)
        yield f"messages of {names[each]} up to {precise_time_text(moment)}"
        yield from (f"  {line}" for line in before)
        yield f"messages of {names[each]} after it"
        yield from (f"  {line}" for line in after)


def _books(source: Source, found: Found) -> Iterator[str]:
    called = {time_ns: name for name, time_ns in found.moments.items()}
    last_ns = 0
    for book in books_at(source, found.instruments, list(found.moments.values())):
        if book.time_ns != last_ns:
            yield f"books {called[book.time_ns]}, {precise_time_text(book.time_ns)}"
            last_ns = book.time_ns
        yield from (f"  {line}" for line in _book_lines(book))


def _book_lines(book: BookShown) -> Iterator[str]:
    if not book.is_valid:
        yield f"{book.name}: not proven"
        return
    yield f"{book.name}, last changed {duration_text(book.age_ns)} before"
    for place in range(max(len(book.bids), len(book.asks))):
        bid = _level_text(*book.bids[place][::-1]) if place < len(book.bids) else " " * 29
        ask = _level_text(*book.asks[place]) if place < len(book.asks) else ""
        yield f"{bid} | {ask}".rstrip()


def _level_text(first: float, second: float) -> str:
    return f"{first:>14.10g} {second:>14.10g}"
