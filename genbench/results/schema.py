"""The format of a run directory, version 1.

Fields are of three kinds. *Identity* is what was requested. *Comparability* is what must agree before two numbers may
be compared. *Provenance* states where a result came from and affects no decision. `genbench schema` prints these
records as JSON Schema. A change that breaks a reader raises `SCHEMA_VERSION`; readers of older versions are kept.

Numbers that are not finite are written as null, because JSON cannot represent them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from genbench.api.evaluation import Direction, Estimate, Unavailable
from genbench.api.options import OptionValue

SCHEMA_VERSION = 1

Status = Literal["ok", "failed", "timeout", "oom", "diverged", "collapsed", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "timeout", "oom", "diverged", "collapsed", "skipped")

LARGEST_INTEGER = 2**63 - 1
LARGEST_NUMBER = 1e150  # its square is finite

# Numbers of the long lists, which the decoder checks; `genbench.results.consistency` checks all others.
Count = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]
Number = Annotated[float, Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Seconds = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)]


class Record(msgspec.Struct, frozen=True, gc=False):  # a frozen tree of plain data has no reference cycles
    """A stored record; fields added by a newer version are ignored."""


class PluginOrigin(Record, frozen=True, kw_only=True):
    """Where a model, loss, dataset or reporter came from."""

    plugin: Annotated[str, Meta(description="name of the entry point, 'builtin', or the plugin's file")]
    distribution: Annotated[str, Meta(description="installed distribution, or the file's name")]
    version: Annotated[str, Meta(description="version of the distribution, or sha256 of the file")]


class Choice(Record, frozen=True, kw_only=True):
    """A model, loss, dataset or reporter with the value of every option."""

    name: str
    options: dict[str, OptionValue] = {}
    origin: PluginOrigin
    # Omitted for the published splits, so that records from before this field existed keep their ids.
    split: Annotated[
        Literal["validation"] | UnsetType,
        Meta(
            description="of a dataset: 'validation': a tenth of the training images stands in for the held-out images, "
            "which are not used; omitted: the dataset's own splits"
        ),
    ] = UNSET


class CellIdentity(Record, frozen=True, kw_only=True):
    """What determines a cell's numbers on a given machine; the cell's id is a hash of this record."""

    identity_version: Annotated[int, Meta(description="raised when the meaning of this record changes")]
    model: Choice
    family: Choice
    loss: Choice
    dataset: Choice
    image_shape: tuple[int, int, int]
    latent_dim: int
    recipe: Annotated[dict[str, OptionValue], Meta(description="every training setting by name")]
    device: Annotated[str, Meta(description="the type of device: 'cpu', 'cuda', 'mps' or 'xpu'")]
    seed: int
    metrics: tuple[str, ...]
    # Omitted if empty, so that records from before this field existed keep their ids.
    metric_origins: Annotated[
        dict[str, PluginOrigin] | UnsetType,
        Meta(description="metrics from plugins other than the built-in ones, by name"),
    ] = UNSET
    metric_options: Annotated[
        dict[str, dict[str, OptionValue]] | UnsetType,
        Meta(description="metrics that have options, by name, with the value of every option"),
    ] = UNSET
    init_hash: Annotated[str, Meta(description="sha256 of the tensors of the initial weights, or empty")] = ""
    genbench: Annotated[str, Meta(description="version of genbench")]


class Comparability(Record, frozen=True, kw_only=True):
    """What must agree before two numbers are compared."""

    machine: Annotated[str, Meta(description="processor model")]
    cores: Annotated[float, Meta(description="processors that this process may use, within its container's quota")]
    threads: Annotated[int, Meta(description="torch intra-operation threads of all processes on this machine")]
    openmp: Annotated[str, Meta(description="how long idle threads spin: GOMP_SPINCOUNT, OMP_WAIT_POLICY")] = ""
    allocator: Annotated[str, Meta(description="how much freed memory the process keeps: MALLOC_… and others")] = ""
    denormals: Annotated[str, Meta(description="flushed: the processor treats numbers below 1.2e-38 as 0")] = ""
    accelerator: Annotated[str, Meta(description="GPU model, or empty")] = ""
    driver: Annotated[str, Meta(description="GPU driver version, or empty")] = ""
    torch: str
    python: str
    precision: str
    engine: str
    step_tuning: Annotated[
        str, Meta(description="options of the step that were chosen by timing: threads=1; empty: the defaults")
    ] = ""
    disturbed: Annotated[
        str,
        Meta(
            description="'throttled', 'shared': the GPU was; 'turns', 'parallel': other cells ran beside it, training "
            "in turns or at the same time; 'in-process': trained in the command's own process"
        ),
    ] = ""
    data_hash: Annotated[str, Meta(description="sha256 of pixels and labels of both splits")] = ""


class Provenance(Record, frozen=True, kw_only=True):
    """Where a result came from."""

    started: Annotated[str, Meta(description="UTC, ISO 8601")] = ""
    finished: str = ""
    host: Annotated[str, Meta(description="operating system and kernel, without the machine's name")] = ""
    resumed_at_step: Annotated[int | None, Meta(description="step of the checkpoint from which this cell resumed")] = (
        None
    )
    versions: dict[str, str] = {}
    load_average: Annotated[list[float], Meta(description="before and after training, one-minute average")] = []


class Window(Record, frozen=True, kw_only=True):
    """Steps timed together, with no synchronisation in between."""

    step: Annotated[Count, Meta(description="last step of the window, counted from 1")]
    steps: Count
    images: Annotated[Count, Meta(description="real images consumed")]
    seconds: Seconds
    warmup: Annotated[bool, Meta(description="not counted in the throughput")] = False


class CurvePoint(Record, frozen=True, kw_only=True):
    """Means of every loss term over one window."""

    step: Count
    images: Count
    terms: dict[str, Number | None]


class Throughput(Record, frozen=True, kw_only=True):
    """Real images consumed per second: median over windows, with a distribution-free interval."""

    images_per_second: float
    low: float
    high: float
    confidence: Annotated[float, Meta(description="attained coverage of [low, high], from order statistics")]
    windows: int
    steps_per_second: float


class Memory(Record, frozen=True, kw_only=True):
    """Peak memory in bytes, up to the end of training."""

    peak_rss: Annotated[int, Meta(description="resident memory of the process")]
    baseline_rss: Annotated[int, Meta(description="resident memory before the data was loaded")] = 0
    training_rss: Annotated[
        int | None, Meta(description="resident memory in timed steps, without evaluations and what precedes them")
    ] = None
    peak_allocated: Annotated[int | None, Meta(description="torch tensors on the GPU in timed steps")] = None
    peak_reserved: Annotated[
        int | None, Meta(description="memory that torch's allocator holds on the GPU in timed steps")
    ] = None
    process_allocated: Annotated[int | None, Meta(description="torch tensors on the GPU at any time")] = None
    process_reserved: Annotated[int | None, Meta(description="memory of torch's allocator at any time")] = None


class Proof(Record, frozen=True, kw_only=True):
    """Evidence that the timed steps trained the networks."""

    trained: Annotated[bool, Meta(description="every phase stepped, every trainable parameter moved, all are finite")]
    phase_updates: Annotated[dict[str, int], Meta(description="optimiser steps of each phase")] = {}
    unmoved: Annotated[list[str], Meta(description="trainable parameters that never changed")] = []
    without_gradient: Annotated[
        list[str], Meta(description="parameters whose gradient was missing or all zero after the warm-up")
    ] = []
    not_finite: Annotated[list[str], Meta(description="parameters with a NaN or infinite value or gradient")] = []


class EvaluationPoint(Record, frozen=True, kw_only=True):
    """The metrics at one point in training, outside the timed windows."""

    step: int
    images: Annotated[int, Meta(description="real images consumed so far")]
    estimates: list[Estimate] = []


class Best(Record, frozen=True, kw_only=True):
    """The evaluation with the best value of one metric; its weights are in ``checkpoints/<id>.best.safetensors``."""

    metric: Annotated[str, Meta(description="the metric that selects the best evaluation")]
    step: int
    images: Annotated[int, Meta(description="real images consumed by then")]
    estimates: list[Estimate] = []


class TrainingFrame(Record, frozen=True, kw_only=True):
    """When one frame of the training samples was drawn."""

    step: Count
    images: Annotated[Count, Meta(description="real images consumed by then")]


class TrainingSamples(Record, frozen=True, kw_only=True):
    """The file ``samples/<id>.training.webp``: samples from the same latents at several points of training.

    Its frames stand below one another, each a grid of images without margins, in the order of the latents. For a
    dataset of 2-D points, a frame is one scatter plot.
    """

    columns: Annotated[int, Meta(description="of one frame")]
    rows: Annotated[int, Meta(description="of one frame")]
    width: Annotated[int, Meta(description="pixels of one image in the file, which may be smaller than a sample")]
    height: int
    frames: Annotated[list[TrainingFrame], Meta(description="from top to bottom; the last one is the end of training")]
    bytes: Annotated[int, Meta(description="size of the file")]
    sha256: Annotated[str, Meta(description="of the file")]


class Target(Record, frozen=True, kw_only=True):
    """A value of a metric to be reached; the table shows how long that took."""

    metric: str
    value: float
    direction: Annotated[Direction, Meta(description="which values are better; the target itself counts as reached")]


class Transfer(Record, frozen=True, kw_only=True):
    """Which initial weights were taken from a file."""

    source: Annotated[str, Meta(description="as requested")]
    taken: Annotated[
        list[str], Meta(description="parameters and buffers taken from the file, matched by name and shape")
    ] = []
    missing: Annotated[list[str], Meta(description="in the model but not in the file: initialised from scratch")] = []
    unused: Annotated[list[str], Meta(description="in the file but not in the model")] = []
    mismatched: Annotated[list[str], Meta(description="with another shape in the file: initialised from scratch")] = []


class Energy(Record, frozen=True, kw_only=True):
    """Energy of training, from a separate pass; without a value, `reason` says why."""

    joules: float | None = None
    seconds: float = 0.0
    images: int = 0
    joules_per_image: float | None = None
    source: Annotated[str, Meta(description="the counter that was read, and what it covers")] = ""
    reason: str = ""


class Counters(Record, frozen=True, kw_only=True):
    """The operations of a step, counted in a separate pass: the same on every machine with the same software.

    Numbers are means over the steps of one period: whole numbers if every phase runs in each step, otherwise fractions,
    rounded once to double precision, so that equal counts are equal numbers.
    """

    engine: Annotated[str, Meta(description="the engine that was counted, whichever one trained")] = "eager"
    operations: Annotated[float, Meta(description="operator calls below autograd, including views")] = 0.0
    host_reads: Annotated[
        float, Meta(description="reads of tensors on the host; on a CPU, those that would wait on a GPU")
    ] = 0.0
    waits: Annotated[dict[str, float], Meta(description="these reads by operation and source line")] = {}
    convolutions: Annotated[float, Meta(description="calls of two-dimensional convolutions, forward and backward")] = (
        0.0
    )
    channels_last: Annotated[
        float, Meta(description="those of these calls in which images, gradients and weights were in channels_last")
    ] = 0.0
    layout_copies: Annotated[float, Meta(description="copies from one memory format to another")] = 0.0
    peak_bytes: Annotated[int, Meta(description="peak size of the tensors that a step with all phases allocates")] = 0
    peak_allocator_bytes: Annotated[
        int | None, Meta(description="the same from the GPU's allocator, including the workspaces of operators")
    ] = None
    device_waits: Annotated[
        float | None, Meta(description="synchronisations reported by torch's CUDA synchronisation debug mode")
    ] = None
    kernel_launches: Annotated[float | None, Meta(description="launches on a GPU, as reported by the profiler")] = None
    trained_launches: Annotated[
        float | None, Meta(description="launches of single kernels by the engine that trained")
    ] = None
    trained_graph_launches: Annotated[
        float | None, Meta(description="launches of whole graphs by the engine that trained")
    ] = None


class Roofline(Record, frozen=True, kw_only=True):
    """Training speed relative to the fastest matrix product of the machine, which is measured alongside the cell."""

    peak: Annotated[float, Meta(description="floating-point operations per second of the matrix product")]
    product: Annotated[str, Meta(description="its size, number format, and threads or GPU")]
    mfu: Annotated[
        float | None, Meta(description="flops_per_image times images per second, as a share of the peak")
    ] = None
    launch_bound: Annotated[
        float | None, Meta(description="share of the eager step's time that a replayed graph saves")
    ] = None


class GpuState(Record, frozen=True, kw_only=True):
    """The state of the GPU from NVML at one point in time; None or empty if not reported."""

    sm_clock: Annotated[int | None, Meta(description="MHz")] = None
    highest_sm_clock: Annotated[int | None, Meta(description="MHz")] = None
    memory_clock: Annotated[int | None, Meta(description="MHz")] = None
    temperature: Annotated[int | None, Meta(description="degrees Celsius")] = None
    power: Annotated[float | None, Meta(description="watts")] = None
    throttled: Annotated[list[str], Meta(description="why its clocks are reduced")] = []
    slowed: Annotated[
        dict[str, float] | None,
        Meta(description="seconds with reduced clocks so far, by reason; None: the GPU does not count them"),
    ] = None
    other_processes: Annotated[int | None, Meta(description="other processes that compute on it")] = None


class Surroundings(Record, frozen=True, kw_only=True):
    """Interference from other processes while the cell trained."""

    own: Annotated[float | None, Meta(description="share of the usable processor time used by this process")] = None
    others: Annotated[float | None, Meta(description="share used by other processes")] = None
    stolen: Annotated[float | None, Meta(description="share that the hypervisor gave to other machines")] = None
    gpu_before: GpuState | None = None
    gpu_after: GpuState | None = None
    gpu_reason: Annotated[str, Meta(description="why nothing is known about the GPU")] = ""


class EngineBound(Record, frozen=True, kw_only=True):
    """One deviation of an engine's steps from eager fp32 steps, and its tolerance."""

    what: Annotated[
        Literal["first_losses", "losses", "parameters", "lengths"],
        Meta(description="difference in losses, distance of parameters, difference in their distance moved; relative"),
    ]
    of: Annotated[str, Meta(description="the phase or network that deviates most")]
    found: Annotated[float, Meta(description="1e300 if something is not finite or counts differ")]
    tolerance: float
    shadow: Annotated[
        float,
        Meta(description="deviation of eager steps in the engine's precision, or from weights rounded differently"),
    ] = 0.0


class EngineCheck(Record, frozen=True, kw_only=True):
    """An engine's steps compared with eager fp32 steps from the same state."""

    steps: int
    precision: Annotated[str, Meta(description="of the engine's steps; the eager ones are in fp32")]
    bounds: list[EngineBound]


class EngineTrial(Record, frozen=True, kw_only=True):
    """The outcome of trying one engine."""

    engine: str
    outcome: Literal["used", "slower", "passed", "deviates", "unavailable", "not tried"]
    reason: str = ""
    prepare_seconds: Annotated[float, Meta(description="compiling, capturing")] = 0.0
    check: EngineCheck | None = None
    seconds_per_step: Annotated[list[float], Meta(description="short windows, alternating with other engines")] = []
    notes: Annotated[list[str], Meta(description="which parts run eagerly, and why")] = []


MemoryFormatName = Literal["contiguous", "channels_last"]


class MemoryFormatChoice(Record, frozen=True, kw_only=True):
    """The memory format of networks and batches while a cell trained."""

    used: MemoryFormatName
    reason: Annotated[str, Meta(description="why this one was used")] = ""
    seconds_per_step: Annotated[
        dict[MemoryFormatName, list[float]], Meta(description="short windows in each format; empty: not timed")
    ] = {}
    timing_seconds: Annotated[float, Meta(description="timing the formats took this long")] = 0.0


StepChoice = Literal["threads", "memory_format", "small_maps", "linear", "optimizer"]


class StepTrial(Record, frozen=True, kw_only=True):
    """The options of one choice in the execution of a step, timed in turn with the choices before it."""

    what: StepChoice
    used: str
    seconds_per_step: Annotated[
        dict[str, list[float]], Meta(description="short windows by option, one of each in a round; the default first")
    ] = {}


class StepTuning(Record, frozen=True, kw_only=True):
    """How the steps of a cell were executed, chosen by timing alternatives that train the same up to rounding."""

    chosen: Annotated[dict[str, str], Meta(description="by choice: an option other than the default")] = {}
    reason: Annotated[str, Meta(description="why these are used, or why nothing was timed")] = ""
    trials: list[StepTrial] = []
    confirmation: Annotated[
        dict[str, list[float]],
        Meta(description="seconds per step in fresh windows: 'default', and 'chosen' with all chosen options"),
    ] = {}
    check: Annotated[EngineCheck | None, Meta(description="the chosen options compared with the default")] = None
    timing_seconds: Annotated[float, Meta(description="this cell spent this long on timing and checking")] = 0.0
    others: Annotated[
        float | None, Meta(description="share of processor time that other processes used meanwhile; null: not known")
    ] = None


class EngineRecord(Record, frozen=True, kw_only=True):
    """The engine that executed the steps of a cell."""

    asked: str
    used: str
    reason: Annotated[str, Meta(description="why this one was used")] = ""
    trials: list[EngineTrial] = []
    prepare_seconds: Annotated[float, Meta(description="compiling and capturing, for all engines together")] = 0.0
    check_seconds: Annotated[
        float, Meta(description="comparing engines with the eager one, and timing engines and memory formats")
    ] = 0.0
    memory_format: MemoryFormatChoice | None = None
    step_tuning: StepTuning | None = None


class Distributed(Record, frozen=True, kw_only=True):
    """The processes that trained a cell together, if there was more than one.

    Batch statistics, such as those of batch norm, cover the images of one process; running averages and other buffers
    are averaged over processes after each step. Losses are means over processes and images are totals; memory and
    counters are those of the first process.
    """

    processes: Annotated[int, Meta(description="on all machines together")]
    nodes: Annotated[int, Meta(description="machines, or runs that stand in for them")] = 1
    backend: Annotated[str, Meta(description="how they exchanged gradients: 'nccl' or 'gloo'")]
    batch: Annotated[int, Meta(description="images of each batch per process")]
    threads: Annotated[int, Meta(description="torch intra-operation threads of each process")]
    unused: Annotated[
        list[str],
        Meta(description="phases in which processes use different parameters, which are searched for in every step"),
    ] = []
    start_seconds: Annotated[float, Meta(description="from the launch until all processes had joined")] = 0.0


class Durations(Record, frozen=True, kw_only=True):
    """Seconds spent in each part of a cell."""

    load: float = 0.0
    build: float = 0.0
    compile: Annotated[float, Meta(description="preparing engines: compiling, capturing")] = 0.0
    engine_check: Annotated[float, Meta(description="comparing engines with the eager one, and timing them")] = 0.0
    warmup: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    evaluate_between: Annotated[float, Meta(description="evaluations during training, outside the timed windows")] = 0.0
    count: Annotated[float, Meta(description="passes that count operations and measure energy")] = 0.0
    total: float = 0.0


class LaterMeasurement(Record, frozen=True, kw_only=True):
    """Metrics that `genbench measure` added to a finished cell or to reference rows."""

    metrics: Annotated[list[str], Meta(description="what was measured, as requested")]
    sampler: Annotated[
        ChosenSampler | UnsetType, Meta(description="what drew the samples; absent: the family in its own way")
    ] = UNSET
    measured: Annotated[str, Meta(description="UTC, ISO 8601")]
    genbench: Annotated[str, Meta(description="version of genbench")]
    metric_origins: Annotated[dict[str, PluginOrigin], Meta(description="as in an identity")] = {}
    metric_options: Annotated[dict[str, dict[str, OptionValue]], Meta(description="as in an identity")] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []


class CellResult(Record, frozen=True, kw_only=True):
    """One file ``cells/<id>.json``: everything that is known about a cell."""

    schema_version: int = SCHEMA_VERSION
    id: str
    identity: CellIdentity
    status: Status
    reason: Annotated[str, Meta(description="why the status is not 'ok', and what to do")] = ""
    code: Annotated[str, Meta(description="of a failed cell: the kind of cause, for `genbench explain`")] = ""
    synthetic_data: Annotated[bool, Meta(description="the images are not real: speed only, no quality")] = False
    comparability: Comparability | None = None
    engine: EngineRecord | None = None
    provenance: Provenance = Provenance()
    parameters: Annotated[dict[str, int], Meta(description="trainable parameters of each network")] = {}
    total_parameters: Annotated[dict[str, int], Meta(description="parameters of each network, trained or not")] = {}
    frozen: Annotated[list[str], Meta(description="parameters that the recipe excludes from training")] = []
    unused_settings: Annotated[
        list[str], Meta(description="fields of the recipe that do nothing in the family of the model")
    ] = []
    classes: Annotated[int, Meta(description="number of classes of a conditional model; 0: unlabelled data")] = 0
    class_names: list[str] = []
    transfer: Transfer | None = None
    steps: int = 0
    images: Annotated[int, Meta(description="real images consumed")] = 0
    # Of a cell in a run of many, these are read from its file when they are used: `genbench.results.stored_series`.
    windows: Sequence[Window] = []
    curves: Sequence[CurvePoint] = []
    throughput: Throughput | None = None
    memory: Memory | None = None
    proof: Proof | None = None
    distributed: Distributed | None = None
    flops_per_image: Annotated[
        float | None, Meta(description="floating-point operations of training, per real image")
    ] = None
    counters: Counters | None = None
    roofline: Roofline | None = None
    surroundings: Surroundings | None = None
    flops_per_sample: Annotated[float | None, Meta(description="floating-point operations per generated image")] = None
    samples_per_second: Annotated[
        float | None, Meta(description="generated images per second, median over batches")
    ] = None
    sampler_speeds: Annotated[
        dict[str, float], Meta(description="the same for each further sampler, by its label")
    ] = {}
    evaluations_per_sample: Annotated[
        float | None, Meta(description="forward passes of networks per generated image (NFE)")
    ] = None
    sampler_evaluations: Annotated[
        dict[str, float], Meta(description="the same for each further sampler, by its label")
    ] = {}
    energy: Energy | None = None
    sampling: Annotated[
        dict[str, str], Meta(description="which weights were sampled, and the statistics of batch norm")
    ] = {}
    estimates: list[Estimate] = []
    unavailable: list[Unavailable] = []
    measured_later: Annotated[
        list[LaterMeasurement], Meta(description="measurements of the stored weights after the run, the latest last")
    ] = []
    evaluations: Annotated[Sequence[EvaluationPoint], Meta(description="evaluations during training")] = []
    best: Best | None = None
    training_samples: Annotated[
        TrainingSamples | None, Meta(description="samples during training; None: there is no such file")
    ] = None
    stopped_early: Annotated[
        bool, Meta(description="training ended before the budget because no evaluation improved")
    ] = False
    durations: Durations = Durations()
    notes: Annotated[list[str], Meta(description="what a reader must know")] = []


HELD_OUT, NOISE = "real held-out", "noise"


class ReferenceRow(Record, frozen=True, kw_only=True):
    """The metrics of images that no model made."""

    name: Annotated[str, Meta(description="'real held-out' or 'noise'")]
    estimates: list[Estimate] = []
    unavailable: list[Unavailable] = []


class UsedExtractor(Record, frozen=True, kw_only=True):
    """An extractor that the data chose, or that was trained on them."""

    extractor: str
    distance: Annotated[str, Meta(description="what its Fréchet distance is called with these weights")]
    reason: Annotated[str, Meta(description="why it was chosen; empty: it was named")] = ""
    training: Annotated[str, Meta(description="what it was trained to do on the data; empty: not trained here")] = ""
    certificate: Annotated[
        str,
        Meta(description="'monotone', 'undecided' or 'not monotone': does the distance rise with corruption; or empty"),
    ] = ""
    remark: Annotated[str, Meta(description="what the certificate is based on, or why there is none")] = ""
    seconds: Annotated[float | None, Meta(description="to train or load it, and to certify it")] = None


class ReferenceResult(Record, frozen=True, kw_only=True):
    """One file ``references/<id>.json`` per dataset: the scale for reading the metrics of its cells."""

    schema_version: int = SCHEMA_VERSION
    id: str
    dataset: Choice
    image_shape: tuple[int, int, int]
    rows: list[ReferenceRow] = []
    extractors: list[UsedExtractor] = []
    measured_later: list[LaterMeasurement] = []
    data_hash: str = ""
    notes: list[str] = []


class PlannedReference(Record, frozen=True, kw_only=True):
    """A dataset whose reference rows the run measures."""

    id: str
    dataset: Choice
    image_shape: tuple[int, int, int]
    metrics: tuple[str, ...]
    metric_origins: dict[str, PluginOrigin] | UnsetType = UNSET  # as in the identity of the cells
    metric_options: dict[str, dict[str, OptionValue]] | UnsetType = UNSET
    extractor_reasons: Annotated[
        dict[str, str] | UnsetType, Meta(description="why the data chose an extractor, by its name")
    ] = UNSET
    samples: int


class ChosenSampler(Record, frozen=True, kw_only=True):
    """A way of drawing images from a trained cell, in addition to its family's own."""

    label: Annotated[str, Meta(description="its name and changed options; follows the names of metrics")]
    name: str
    options: Annotated[dict[str, OptionValue], Meta(description="the value of every option")]


class PlannedCell(Record, frozen=True, kw_only=True):
    """A requested cell; with a `reason`, it is infeasible and will be recorded as skipped."""

    id: str
    identity: CellIdentity
    variant: Annotated[str, Meta(description="the plan's name for its recipe, or empty; not part of the identity")] = ""
    changed: Annotated[
        list[str] | None,
        Meta(
            description="settings that the plan changes from what model, loss, dataset and profile say, as in tables; "
            "null: not recorded, as by early versions"
        ),
    ] = None
    reason: str = ""
    synthetic_data: bool = False
    samplers: Annotated[list[ChosenSampler], Meta(description="not part of the identity of the training")] = []


class Rendezvous(Record, frozen=True, kw_only=True):
    """Where the processes of several machines find each other, in the terms of torchrun."""

    endpoint: Annotated[str, Meta(description="HOST:PORT")]
    id: str = "genbench"


class RaceCandidate(Record, frozen=True, kw_only=True):
    """Cells that differ only in the seed."""

    name: str
    cells: Annotated[list[str], Meta(description="their ids, in the order of the planned seeds")]
    images: Annotated[int, Meta(description="real images that the training of one cell consumes")]


class PlannedRace(Record, frozen=True, kw_only=True):
    """A race of candidates on one dataset: looks at planned numbers of seeds drop those that are surely not the best.

    There is a look after each seed from the third to the last.
    """

    metric: str
    direction: Direction
    dataset: str
    error: Annotated[float, Meta(description="probability of dropping a candidate than which none is better")]
    seeds: Annotated[list[int], Meta(description="the planned seeds, in the order in which they are run")]
    most_seeds: Annotated[int, Meta(description="of one candidate; those beyond the planned ones cost what drops save")]
    candidates: list[RaceCandidate]


class RaceStanding(Record, frozen=True, kw_only=True):
    """What a look knew about one candidate."""

    candidate: str
    seeds: Annotated[int, Meta(description="with a value of the metric")]
    mean: float | None = None
    standard_error: Annotated[float | None, Meta(description="over these seeds")] = None
    failures: Annotated[int, Meta(description="seeds that ran and have no value")] = 0


class RaceDrop(Record, frozen=True, kw_only=True):
    """Why a candidate was dropped."""

    candidate: str
    cause: Annotated[Literal["worse", "failing"], Meta(description="'failing': too many seeds without a value")]
    than: Annotated[str, Meta(description="the candidate than which it is worse, or empty")] = ""
    seeds: Annotated[int, Meta(description="that both have")] = 0
    difference: Annotated[float | None, Meta(description="mean over these seeds, minus that of the other")] = None
    standard_error: float | None = None
    p_value: Annotated[float | None, Meta(description="one-sided, of the paired t")] = None
    level: Annotated[float | None, Meta(description="the p-value that it had to reach")] = None
    failures: int = 0


class RaceLook(Record, frozen=True, kw_only=True):
    """A look at all candidates that were left."""

    seeds: Annotated[int, Meta(description="that each of them has run")]
    standings: list[RaceStanding]
    drops: list[RaceDrop] = []


class RaceRecord(Record, frozen=True, kw_only=True):
    """The file ``race.json`` of a run with races: what was decided. A look that is recorded is not taken again."""

    schema_version: int = SCHEMA_VERSION
    looks: Annotated[list[list[RaceLook]], Meta(description="of each race, in the order of the plan")]
    added: Annotated[list[PlannedCell], Meta(description="cells of further seeds, in addition to the plan")] = []


class RunRecord(Record, frozen=True, kw_only=True):
    """The file ``run.json``: the plan, and the environment in which it was made."""

    schema_version: int = SCHEMA_VERSION
    created: Annotated[str, Meta(description="UTC, ISO 8601")]
    genbench: str
    command: Annotated[list[str], Meta(description="the command line, for a reader")] = []
    directory: Annotated[
        str, Meta(description="where the plan was made, relative to the run directory; relative paths start there")
    ] = ""
    profile: str
    cells: list[PlannedCell]
    references: list[PlannedReference] = []
    targets: Annotated[list[Target], Meta(description="targets whose time to quality the table shows")] = []
    swept: Annotated[list[str], Meta(description="settings with several values, under their names in tables")] = []
    races: Annotated[list[PlannedRace], Meta(description="one per dataset, if cells may be dropped early")] = []
    plugin_files: Annotated[list[str], Meta(description="files named with --plugin")] = []
    plugin_hashes: Annotated[list[str], Meta(description="sha256 of each of these files")] = []
    plugin_signature: Annotated[
        str, Meta(description="HMAC-SHA256 of these files and hashes, with a key of the user who made the plan")
    ] = ""
    reporters: Annotated[
        list[Choice], Meta(description="plugins that forward events to trackers; they change no number")
    ] = []
    executor: Annotated[
        Choice | None, Meta(description="where the cells are executed; None: on the machine of the command")
    ] = None
    timeout: Annotated[float | None, Meta(description="seconds per cell")] = None
    memory_limit: Annotated[float | None, Meta(description="GiB per cell")] = None
    threads: Annotated[int | None, Meta(description="None: every processor that this process may use")] = None
    rendezvous: Rendezvous | None = None
    environment: dict[str, Any] = {}


RECORDS: dict[str, type[Record]] = {
    "cell": CellResult,
    "reference": ReferenceResult,
    "run": RunRecord,
    "race": RaceRecord,
}


# Fields that must agree before speed and memory are compared. Precision and engine are chosen on purpose; the hash of
# the data concerns quality.
MACHINE_FIELDS = tuple(
    name for name in Comparability.__struct_fields__ if name not in ("precision", "engine", "data_hash")
)
