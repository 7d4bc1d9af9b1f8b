"""`crosswire sweep`: many settings of one configuration, each a backtest of its own."""

from pathlib import Path
from typing import Annotated

import typer


def sweep_command(
    config: Annotated[Path, typer.Argument(help="The runs' TOML file.")],
    grid: Annotated[list[str], typer.Option(help="KEY=FIRST..LAST:STEP, :xFACTOR, or A,B,C; may be repeated.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for all sets; may be repeated.", metavar="KEY=VALUE")
    ] = None,
    random: Annotated[int, typer.Option(help="Draw so many sets by chance, instead of all.")] = 0,
    bayesian: Annotated[int, typer.Option(help="Search so many sets where it seems to pay.")] = 0,
    seed: Annotated[int, typer.Option(help="Of --random and --bayesian: same seed, same sets.")] = 1,
    objective: Annotated[str, typer.Option(help="What is best: net, flattened or realised P&L.")] = "net",
    walk_forward: Annotated[int, typer.Option(help="Choose at so many moments, and judge by what follows.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes on this machine; 0: one a core.")] = 0,
    scheduler: Annotated[str, typer.Option(help="Address of a Dask scheduler whose workers run the sets.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Keep every set's run folder, for report and show.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the sweep's goes in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Backtest many settings on all cores or hosts; again: goes on. Exit code 1: a set failed."""
    import msgspec

    from crosswire.engine.errors import KNOWN_ERRORS
    from crosswire.engine.printing import console, errors, fail
    from crosswire.engine.warn import print_warnings

    try:
        import optuna  # noqa: F401 what a search needs is missing at once, not after an hour

        from crosswire.engine.sweep.show import print_result
        from crosswire.engine.sweep.sweep import StoppedError, SweepOptions, run_sweep
    except ModuleNotFoundError as error:
        raise fail(f"sweep: needs {error.name}; install it with: pip install 'crosswire[sweep]'") from None
    if random and bayesian:
        raise fail("sweep: --random and --bayesian exclude each other")
    method = "random" if random else "bayesian" if bayesian else "grid"
    options = SweepOptions(
        grid=grid,
        settings=settings or (),
        method=method,
        sets=random or bayesian,
        seed=seed,
        objective=objective,
        walk_forward=walk_forward,
        workers=workers,
        scheduler=scheduler,
        keep=keep,
    )
    try:
        result, folder = run_sweep(config, output, options, errors)
    except (*KNOWN_ERRORS, StoppedError) as error:
        raise fail(error) from None
    if as_json:
        facts = result.facts() | {"folder": str(folder)}
        typer.echo(msgspec.json.Encoder(decimal_format="number").encode(facts))
        print_warnings(result.warnings, errors)
    else:
        print_result(result, folder, console)
    if result.failed:
        raise fail(f"{len(result.failed)} of {len(result.rows)} sets failed; the same command tries them again")
