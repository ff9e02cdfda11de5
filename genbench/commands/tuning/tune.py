"""`genbench.tune`: equally many trials for every model, and the best settings of each measured anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genbench.commands.arguments import PluginSource, described, plugin_paths
from genbench.commands.preparation import choose_job_runner
from genbench.commands.run import Progress, RunInterrupted, choose_output
from genbench.commands.tuning.asked import DEFAULT_FINAL_SEEDS, DEFAULT_TRIALS, asked_of
from genbench.commands.tuning.trials import TuningInterrupted, continue_tuning, start_tuning
from genbench.commands.tuning.tuning import Tuning
from genbench.plugins.recorded_files import Allowed


def tune(
    models: str | Sequence[str] | None = None,
    search: str | Path | Mapping[str, Any] | None = None,
    *,
    trials: int = DEFAULT_TRIALS,
    metric: str | None = None,
    sampler: str = "random",
    pruner: str = "none",
    seed: int = 0,
    final_seeds: int = DEFAULT_FINAL_SEEDS,
    losses: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    device: str | None = None,
    profile: str | None = None,
    set: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    plugins: PluginSource | Sequence[PluginSource] | None = None,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    timeout: float | None = None,
    memory_limit: float | None = None,
    threads: int | None = None,
    trust_plugins: bool = False,
    progress: Progress = True,
    in_process: bool = False,
    **recipe: Any,
) -> Tuning:
    """Tune models with equally many trials and images for each, and measure the best settings with fresh seeds.

    Needs Optuna: ``pip install 'genbench[tune]'``. The arguments have the names and meanings of the flags of `genbench
    tune`; those that `genbench.run` has too mean the same. Trials are cells on the validation split: a tenth of the
    training images stands in for the held-out ones, which decide nothing. A directory that holds a tuning with the same
    arguments is continued. Raises `UsageError` for an invalid request, and `RunInterrupted`, a KeyboardInterrupt.

    Args:
        models: names of models, as a list or separated by commas.
        search: the search space: path of a TOML file, or its content.
        trials: per model.
        metric: to be tuned; by default, the usual distance.
        sampler: ``random`` or ``tpe``.
        pruner: ``none``, or ``halving``: trials that look worse after a part of the budget get no more of it.
        seed: of the search; trial i trains with seed + i.
        final_seeds: seeds of the final cells of each model; 0: no final cells.
        losses: one loss for all models; by default, each model's own.
        datasets: one dataset; ``folder:PATH`` for your own images.
        metrics: of the final cells.
        device: as in `genbench.run`.
        profile: the budget of a trial, and of a final cell.
        set: fixed options.
        config: a TOML plan; the other arguments take precedence.
        plugins: plugin files, or imported modules with a file of their own.
        weights: path of the Inception weights.
        out: the directory of the tuning; by default, a new one in ``results/``.
        resume: a directory to go on with; only limits, plugins and weights may then be given.
        timeout: seconds per cell; 0: no limit.
        memory_limit: GiB per cell.
        threads: number of torch threads.
        trust_plugins: with `resume`, load the plugin files that the directory names: their code runs.
        progress: as in `genbench.run`.
        in_process: run the cells in this process; timings are then not valid.
        recipe: fixed fields of the recipe, such as ``batch_size=64``.
    """
    executor = choose_job_runner(in_process)
    output, _ = choose_output(progress, executor)
    limits = {"timeout": timeout, "memory_limit": memory_limit, "threads": threads}
    with _interruption_raised():
        if resume is not None:
            files = () if plugins is None else plugin_paths(plugins)
            return continue_tuning(Path(resume), executor, output, limits, Allowed(files, trust_plugins), weights)
        given = {
            "models": models, "losses": losses, "datasets": datasets, "metrics": metrics, "device": device,
            "profile": profile, "set": set, "config": config, "plugins": plugins, "weights": weights, "out": out,
            **limits, **recipe,
        }  # fmt: skip
        how = {
            "trials": trials, "metric": metric, "sampler": sampler, "pruner": pruner, "seed": seed,
            "final_seeds": final_seeds,
        }  # fmt: skip
        shown = {**given, "search": search if isinstance(search, str | Path) else "…", "trials": trials}
        return start_tuning(asked_of(search, {**given, **how}), executor, output, described("tune", shown))


@contextmanager
def _interruption_raised() -> Iterator[None]:
    try:
        yield
    except TuningInterrupted as error:
        raise RunInterrupted(error.path, "genbench.tune(resume={!r})") from None
