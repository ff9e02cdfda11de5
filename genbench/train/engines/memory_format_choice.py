"""Choosing the memory format of a training by timing its steps, where a device may be faster with either.

On a processor the format is channels_last for networks with convolutions, as measured for the built-in models. On any
other device the steps decide, in the recipe's precision: channels_last pays off with the tensor cores of a GPU, and can
be slower without. If the training will be replayed as a graph, so are the steps that are timed: in eager steps the time
that the host takes to launch operations hides how long they run.

Processes that train one cell together time their own steps, without the exchange of gradients, which is the same in
both formats. What counts is the slowest process, for which the others wait; so all choose the same format.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from genbench.measure.accelerator import free_memory
from genbench.measure.capabilities import is_accelerator
from genbench.results.schema import MemoryFormatChoice, MemoryFormatName
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.distributed import training_alone
from genbench.train.engines.short_windows import executed_by, seconds_per_step
from genbench.train.memory_format import MEMORY_FORMATS, format_name, has_convolutions, use_memory_format
from genbench.train.process_group import World
from genbench.train.state import state_kept

ROUNDS, ROUND_SECONDS = 3, 0.05  # windows for each format, in alternating order
ENOUGH_SECONDS = 5.0  # after which no further round begins: such steps are long, and few of them suffice
TIE = 0.02  # relative difference in time below which the format is contiguous


def choose_memory_format(
    engine: Engine,
    replayed: bool = False,
    known: tuple[MemoryFormatName, str] | None = None,
    activity: Callable[[str], None] = lambda activity: None,
    world: World | None = None,
) -> MemoryFormatChoice:
    """Arrange the engine in the memory format that its steps are fastest in, and return the choice with its reason.

    Args:
        engine: in the state in which training starts or resumes; the state is unchanged. Executed eagerly, or by one
            of several processes.
        replayed: time replayed graphs, if the step can be captured.
        known: a format that was chosen before, and the reason to keep it; nothing is timed.
        activity: called with a description of the current activity.
        world: the processes that train the cell; all of them call this, and use the same format.
    """
    before = format_name(engine.memory_format)
    if not has_convolutions(engine.networks):
        return MemoryFormatChoice(used=before, reason="no convolutions")
    if known is not None:
        use_memory_format(engine, MEMORY_FORMATS[known[0]])
        return MemoryFormatChoice(used=known[0], reason=known[1])
    if not is_accelerator(engine.rng.device):
        return MemoryFormatChoice(used=before, reason="the rule for processors")
    activity("timing memory formats")
    begin = time.perf_counter()
    failure, own = "", dict[MemoryFormatName, list[float]]()
    try:
        with training_alone(engine):
            own = _time_formats(engine, replayed)
    except Exception as error:  # out of memory, for example: training says it, if it fails too
        failure = type(error).__name__
        error.__traceback__ = None  # its frames hold memory
    found = (world or World()).all_gather((failure, own))
    failure = next((failed for failed, _ in found if failed), "")
    reason = f"the formats could not be timed: {failure}" if failure else "the faster"
    seconds = {} if failure else slowest([times for _, times in found])
    used = faster_format(seconds) if seconds else before
    use_memory_format(engine, MEMORY_FORMATS[used])
    free_memory()
    return MemoryFormatChoice(
        used=used, reason=reason, seconds_per_step=seconds, timing_seconds=time.perf_counter() - begin
    )


def slowest(processes: Sequence[Mapping[MemoryFormatName, Sequence[float]]]) -> dict[MemoryFormatName, list[float]]:
    """Return the longest time of each window over the processes; windows that some of them lack are left out."""
    names = list(processes[0])
    return {name: [max(times) for times in zip(*(own[name] for own in processes), strict=False)] for name in names}


def faster_format(seconds: Mapping[MemoryFormatName, Sequence[float]]) -> MemoryFormatName:
    """Return the format with the smaller median of seconds per step; contiguous if they hardly differ."""
    contiguous, channels_last = (statistics.median(seconds[name]) for name in ("contiguous", "channels_last"))
    return "channels_last" if channels_last < (1 - TIE) * contiguous else "contiguous"


def _time_formats(engine: Engine, replayed: bool) -> dict[MemoryFormatName, list[float]]:
    """Return the seconds per step of some windows in each format."""
    names = list(MEMORY_FORMATS)
    seconds: dict[MemoryFormatName, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    with state_kept(engine):
        for number in range(ROUNDS):
            if number and time.perf_counter() - begin > ENOUGH_SECONDS:
                break
            for name in names if number % 2 else reversed(names):
                use_memory_format(engine, MEMORY_FORMATS[name])
                execution: Execution = Eager()
                if replayed:
                    try:
                        execution = open_execution("graph", engine)
                    except EngineUnavailable:
                        replayed = False
                try:
                    with executed_by(engine, execution):
                        seconds[name].append(seconds_per_step(engine, ROUND_SECONDS))
                finally:
                    execution.close()
    return seconds
