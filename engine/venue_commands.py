"""Commands that the installed venues bring with them: importers of recordings, and processes beside the engine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.engine.printing import console, fail

if TYPE_CHECKING:
    from crosswire.venues.adapter import Importer, VenueProcess


def add_importers(import_app: typer.Typer) -> None:
    """Register a command for every importer of the installed venues; only report a venue that is broken."""
    from crosswire.engine.adapters import find_adapter
    from crosswire.engine.errors import KNOWN_ERRORS

    for venue in entry_points(VENUE_GROUP):
        try:
            importers = find_adapter(venue).importers
        except KNOWN_ERRORS as error:
            fail(error)
            continue
        for name, importer in importers.items():
            import_app.command(name, help=importer.help)(import_command(name, importer))


def add_processes(app: typer.Typer, venue: str) -> None:
    """Register a command for every process that an installed venue has beside the engine's."""
    from crosswire.engine.adapters import find_adapter
    from crosswire.engine.errors import KNOWN_ERRORS

    try:
        processes = find_adapter(venue).processes
    except KNOWN_ERRORS as error:
        fail(error)
        return
    group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=f"Processes of the venue {venue}.")
    group.callback()(lambda: None)  # without one a single command would have no name
    for name, process in processes.items():
        group.command(name, help=process.help)(process_command(process, name))
    if processes:
        app.add_typer(group, name=venue)


def process_command(process: "VenueProcess", name: str) -> Callable[..., None]:
    """Make the command of one process."""

    def command(config: Annotated[Path, typer.Argument(help="The process's own TOML file.")]) -> None:
        from crosswire.engine.errors import KNOWN_ERRORS
        from crosswire.engine.process import run_process

        try:
            run_process(process, name, config, typer.echo)
        except KNOWN_ERRORS as error:
            raise fail(error) from None

    return command


def import_command(name: str, importer: "Importer") -> Callable[..., None]:
    """Make an importer's command, whose options are the fields of the importer's struct."""
    import inspect

    import msgspec

    def command(
        recordings: list[Path], output: Path, clock_offset_ms: str, strict: bool, as_json: bool, **options: str
    ) -> None:
        from crosswire.engine.errors import KNOWN_ERRORS
        from crosswire.engine.imports import import_recordings, imports_json, print_imports

        try:
            imported = import_recordings(importer, recordings, output, clock_offset_ms, options, strict)
        except (*KNOWN_ERRORS, ValueError) as error:
            raise fail(error) from None
        if as_json:
            typer.echo(json.dumps(imports_json(imported), indent=1))
        else:
            print_imports(imported, console)

    folder = Path("data") / name
    types: dict[str, tuple[object, object]] = {
        "recordings": (Annotated[list[Path], typer.Argument(help="Files, plain, .gz or .zst.")], ...),
        "output": (Annotated[Path, typer.Option("--output", "-o", help="Folder for the captures.")], folder),
        "clock_offset_ms": (
            Annotated[str, typer.Option(help="Added to the recording host's clock; auto: estimated from the data.")],
            "0",
        ),
        "strict": (Annotated[bool, typer.Option("--strict", help="Refuse whatever there is to warn of.")], False),
        "as_json": (Annotated[bool, typer.Option("--json", help="Print one JSON object.")], False),
    }
    for field in msgspec.json.schema_components([importer.options])[1].values():
        for option, about in field["properties"].items():
            types[option] = (Annotated[str, typer.Option(help=about.get("description", ""))], about["default"])
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(each, keyword, annotation=kind, default=default) for each, (kind, default) in types.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each: kind for each, (kind, _) in types.items()}
    return command
