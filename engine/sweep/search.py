"""In which order sets are tried: all of a grid, seeded draws, or where earlier results say that it pays to look.

Each order is the same for the same seed, however many workers there are and whichever is done first: a Bayesian search
asks for ROUND sets, waits for all of them and takes their results in the order of their numbers.
"""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from crosswire.engine.sweep.plan import Plan
from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.space import Axis, Settings, grid_of, number_in, settings_of

ROUND = 8  # sets that a Bayesian search asks for at once
DRAWS_PER_SET_MAX = 100  # until a draw is new: a small space may have no more sets than that

Sets = list[tuple[int, Settings]]
RunAll = Callable[[Sets], Mapping[int, Row]]  # runs what is missing of some sets; returns the rows of all


def search(plan: Plan, axes: Sequence[Axis], run_all: RunAll) -> dict[int, Row]:
    """Run the whole sweep; return its rows by number."""
    if plan.method == "bayesian":
        return _search_bayesian(plan, axes, run_all)
    sets = grid_of(axes) if plan.method == "grid" else list(draws(axes, plan.sets, plan.seed))
    return dict(run_all(list(enumerate(sets))))


def draws(axes: Sequence[Axis], count: int, seed: int) -> Iterator[Settings]:
    """Draw sets, each once; fewer than `count` where there are no more."""
    chance = random.Random(seed)
    seen: set[Settings] = set()
    for _ in range(count):
        for _ in range(DRAWS_PER_SET_MAX):
            settings = settings_of(axes, [_draw(axis, chance) for axis in axes])
            if settings not in seen:
                seen.add(settings)
                yield settings
                break


def _draw(axis: Axis, chance: random.Random) -> str:
    return number_in(axis, chance.random()) if axis.is_range else chance.choice(axis.values)


def _search_bayesian(plan: Plan, axes: Sequence[Axis], run_all: RunAll) -> dict[int, Row]:
    """Search by Optuna's tree-structured Parzen estimator (Bergstra et al., NIPS 2011)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that constant_liar is experimental
        # Sets of one round know of each other by a lie about those that are still running.
        sampler = optuna.samplers.TPESampler(seed=plan.seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    rows: dict[int, Row] = {}
    first_of: dict[Settings, int] = {}  # a set that is asked for again has its result already
    for begin in range(0, plan.sets, ROUND):
        asked = []
        for number in range(begin, min(begin + ROUND, plan.sets)):
            trial = study.ask()
            settings = settings_of(axes, [_suggest(trial, axis) for axis in axes])
            asked.append((trial, first_of.setdefault(settings, number), settings))
        new = {number: settings for _, number, settings in asked if number >= begin}
        rows.update(run_all(sorted(new.items())))
        for trial, number, _ in asked:
            row = rows[number]
            if row.error:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, float(getattr(row, plan.objective)))
    return rows


def _suggest(trial: Any, axis: Axis) -> str:
    if axis.is_range:
        return number_in(axis, trial.suggest_float(axis.key, 0.0, 1.0))
    if are_numbers(axis.values):
        return axis.values[trial.suggest_int(axis.key, 0, len(axis.values) - 1)]
    return str(trial.suggest_categorical(axis.key, axis.values))


def are_numbers(values: Sequence[str]) -> bool:
    """Tell whether values have an order."""
    try:
        return all(Decimal(value).is_finite() for value in values)
    except InvalidOperation:
        return False
