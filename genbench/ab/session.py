"""The blocks of a comparison: fresh processes of both arms, alternating windows, one log ratio per cell and block.

Within a block the windows alternate ABBA, BAAB, …, so that a machine that slows down affects both arms alike. What
differs between two processes of the same code (above all, the memory layout) is drawn anew in each block; that is why a
block, not a window, is one sample.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from genbench.ab.arm import Arm
from genbench.ab.wire import (
    FIXED_FORMAT,
    Answer,
    Control,
    Failed,
    KnownFormat,
    Open,
    Opened,
    Prepare,
    Prepared,
    Question,
    Time,
    Timed,
)
from genbench.errors import ExitCode, GenbenchError, UsageError
from genbench.process.environment import worker_environment
from genbench.process.lines import Lines
from genbench.process.spawn import ChildProcess
from genbench.results.comparison import Quantity

START = Path(__file__).with_name("start.py")
ANSWER_SECONDS = 300.0  # importing torch on a cold disk, or compiling; a worker that takes longer is killed


class ArmFailed(GenbenchError):
    """A worker exited, or could not answer; the message names its arm and the reason."""

    exit_code = ExitCode.FAILED_CELLS
    code = "GB805"

    def __init__(self, arm: str, reason: str) -> None:
        super().__init__(f"{arm}: {reason}")
        self.arm, self.reason = arm, reason


@dataclass(frozen=True)
class Protocol:
    """How a block is measured."""

    window_seconds: float = 0.125
    rounds: int = 4  # of four windows each: ABBA, then BAAB, and so on
    warmup_steps: int = 20  # at most
    control_rounds: int = 60


# On a busy machine, most of a block's time is the start of its processes, and windows differ more: four times as many
# windows halve what they add to the spread of blocks. The control takes as long as before.
BUSY = Protocol(rounds=16, control_rounds=15)


@dataclass(frozen=True)
class Measured:
    """One cell in one block: what each window took, in the order of measurement."""

    cell: str
    steps: int  # in each window
    order: str  # 'ABBABAAB': A is base
    seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...] = ()  # empty: not measured in both arms
    instructions: tuple[float, ...] = ()  # likewise


@dataclass(frozen=True)
class Block:
    """The measurements of one block; `failed` holds the cells that failed, with the reason."""

    number: int
    measured: tuple[Measured, ...]
    control: Measured | None
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """The cells that both arms can measure, and those that only one of them has."""

    cells: tuple[str, ...]
    only_base: tuple[str, ...]
    only_head: tuple[str, ...]
    not_comparable: Mapping[str, str]  # by cell: the settings of the step that differ
    impossible: Mapping[str, str]
    versions: Mapping[str, dict[str, str]]  # by arm
    unmeasured: Mapping[Quantity, str] = field(default_factory=dict)  # what an arm cannot measure, and the reason


class ArmWorker:
    """One live worker of an arm, which starts and ends with the context."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm

    def _start(self) -> None:
        environment = worker_environment(self.arm.environment)
        self._process = ChildProcess([str(START)], environment=environment, directory=self.arm.place)
        self._process.connection.settimeout(ANSWER_SECONDS)
        self._lines = Lines(self._process.connection)

    def __enter__(self) -> ArmWorker:
        with contextlib.ExitStack() as undo:
            with delayed_signals():  # a Ctrl-C in between would leave a process that nothing kills
                self._start()
                undo.callback(self.end)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill the worker and everything that it has started."""
        self._lines.socket.close()
        self._process.close()

    def ask(self, question: Question) -> Answer:
        """Send a question and return its answer; raise `ArmFailed` if there is none."""
        self.send(question)
        return self.receive()

    def send(self, question: Question) -> None:
        """Send a question; `receive` returns its answer."""
        try:
            self._lines.send(question)
        except OSError:
            raise ArmFailed(self.arm.name, self._describe_exit()) from None

    def receive(self) -> Answer:
        """Wait for the answer to the last question."""
        received: list[bytes] = []
        while not received:
            try:
                more = self._lines.receive()
            except TimeoutError:
                raise ArmFailed(self.arm.name, f"no answer within {ANSWER_SECONDS:.0f} s") from None
            if more is None:
                raise ArmFailed(self.arm.name, self._describe_exit())
            received = more
        answer: Answer = msgspec.json.decode(received[0], type=Answer)
        if isinstance(answer, Failed):
            raise ArmFailed(self.arm.name, answer.reason)
        return answer

    def _describe_exit(self) -> str:
        how = self._process.describe()
        lines = self._process.error_lines()
        if any("No module named 'genbench.ab" in line or "No module named genbench.ab" in line for line in lines):
            return "this version of genbench is older than `genbench ab` and cannot be measured live"
        return f"its process {how or 'closed its connection'}"


@contextlib.contextmanager
def delayed_signals() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda found, _: caught.append(found)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in caught[:1]:
            signal.raise_signal(first)


class Session:
    """Measures blocks of two arms.

    Args:
        base: the arm that head is compared with.
        head: the arm under test.
        prepare: what both arms plan.
        protocol: how a block is measured.
        slowdown: share of time by which head's steps are deliberately slowed; 0 except for calibration.
        slowed_by: the time that is meant, 'wall' or 'processor'.
        seed: of the order of cells and of the first arm in each alternation.
        memory_formats: by cell, chosen when it is first opened; another session may share them.
        step_options: likewise.
    """

    def __init__(
        self,
        base: Arm,
        head: Arm,
        prepare: Prepare,
        protocol: Protocol | None = None,
        slowdown: float = 0.0,
        slowed_by: Quantity = "wall",
        seed: int = 0,
        memory_formats: dict[str, KnownFormat] | None = None,
        step_options: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.base, self.head, self.prepare = base, head, prepare
        self.protocol = protocol or Protocol()
        self.slowdown, self.slowed_by = slowdown, slowed_by
        self._order = random.Random(seed)
        self._steps: dict[str, int] = {}
        self.memory_formats: dict[str, KnownFormat] = {} if memory_formats is None else memory_formats
        self.step_options: dict[str, dict[str, str]] = {} if step_options is None else step_options

    def against_itself(self) -> Session:
        """Return a session that measures base in both arms, under the same conditions as this one."""
        return Session(
            self.base,
            self.base,
            self.prepare,
            self.protocol,
            memory_formats=self.memory_formats,
            step_options=self.step_options,
        )

    def expect_load(self, threads: int) -> None:
        """Measure as on a busy machine from now on: with more windows, and with this number of threads.

        What was chosen for the steps with the former number is forgotten.
        """
        self.protocol = BUSY
        self.prepare = msgspec.structs.replace(self.prepare, threads=threads)
        self._steps.clear()
        self.memory_formats.clear()
        self.step_options.clear()

    def survey(self) -> Sides:
        """Ask both arms what they can measure, and pair their cells by name."""
        with ArmWorker(self.base) as base, ArmWorker(self.head) as head:
            base.send(self.prepare)
            head.send(self.prepare)
            of_base, of_head = base.receive(), head.receive()
        assert isinstance(of_base, Prepared)
        assert isinstance(of_head, Prepared)
        unknown_to_both = [reason for name, reason in of_head.unknown.items() if name in of_base.unknown]
        if unknown_to_both:
            raise UsageError(unknown_to_both[0], code="GB805")
        before, after = {cell.name: cell for cell in of_base.cells}, {cell.name: cell for cell in of_head.cells}
        both = [name for name in after if name in before]
        reasons = {name: before[name].reason or after[name].reason for name in both}
        differing = {name: _difference(before[name].settings, after[name].settings) for name in both}
        return Sides(
            cells=tuple(name for name in both if not reasons[name] and not differing[name]),
            only_base=tuple(name for name in before if name not in after),
            only_head=tuple(name for name in after if name not in before),
            not_comparable={name: text for name, text in differing.items() if text and not reasons[name]},
            impossible={name: reason for name, reason in reasons.items() if reason},
            versions={
                "base": {"genbench": of_base.genbench, "torch": of_base.torch, **of_base.packages},
                "head": {"genbench": of_head.genbench, "torch": of_head.torch, **of_head.packages},
            },
            unmeasured={**_unmeasured("base", of_base), **_unmeasured("head", of_head)},
        )

    def block(self, number: int, cells: Sequence[str], on_cell: Callable[[str], None] = lambda _: None) -> Block:
        """Measure the cells once with fresh processes; a cell that fails in one arm does not affect the others."""
        measured: list[Measured] = []
        failed: dict[str, str] = {}
        control: Measured | None = None
        waiting = list(cells)
        self._order.shuffle(waiting)
        while waiting:
            # A worker that dies costs no other cell: the rest is measured in fresh workers.
            try:
                with ArmWorker(self.base) as base, ArmWorker(self.head) as head:
                    self.ready(base, head)
                    if control is None:
                        control = self.control(base, head)
                    while waiting:
                        on_cell(waiting[0])
                        self.open(waiting[0], base, head)
                        measured.append(self.time(waiting[0], base, head, self.slowdown))
                        waiting.pop(0)
            except ArmFailed as error:
                failed[waiting.pop(0)] = str(error)
        return Block(number, tuple(measured), control, failed)

    def ready(self, base: ArmWorker, head: ArmWorker) -> None:
        """Let two new workers plan, at the same time."""
        for worker in (base, head):
            worker.send(self.prepare)
        for worker in (base, head):
            worker.receive()

    def open(self, cell: str, base: ArmWorker, head: ArmWorker) -> None:
        """Build a cell in both arms and warm it up, in one memory format and with the same options of the step.

        Base's step sets the steps per window, and its choice the memory format and options, once for all blocks. On a
        busy machine a step takes longer than the processor time of all its threads: that counts then, so that a window
        holds as much work as on an idle machine.
        """
        of_base = self._open(cell, base, self.memory_formats.get(cell, ""), self.step_options.get(cell))
        of_head = self._open(cell, head, of_base.memory_format or FIXED_FORMAT, of_base.step_options)
        fixed = not of_head.memory_format and of_base.memory_format not in ("", FIXED_FORMAT)
        if fixed or of_head.step_options != of_base.step_options:  # head does not know them
            of_base = self._open(cell, base, of_head.memory_format or FIXED_FORMAT, of_head.step_options)
        self.memory_formats[cell] = of_base.memory_format or FIXED_FORMAT
        self.step_options[cell] = of_base.step_options
        per_step = min(filter(None, (of_base.seconds_per_step, of_base.processor_seconds_per_step)))
        self._steps.setdefault(cell, max(1, round(self.protocol.window_seconds / per_step)))
        engines = [of_base.engine, of_head.engine]
        if len(set(engines)) > 1:
            raise ArmFailed(
                "base and head",
                f"they execute the steps with different engines, {engines[0]} and {engines[1]}: choose one that both "
                "can use, such as --engine eager",
            )

    def _open(
        self, cell: str, worker: ArmWorker, memory_format: KnownFormat, step_options: dict[str, str] | None
    ) -> Opened:
        warmup = self.protocol.warmup_steps
        answer = worker.ask(Open(cell=cell, warmup=warmup, memory_format=memory_format, step_options=step_options))
        assert isinstance(answer, Opened)
        return answer

    def time(self, cell: str, base: ArmWorker, head: ArmWorker, slowdown: float = 0.0) -> Measured:
        """Time the windows of the open cell; head's steps are slowed by this share of their time."""
        steps = self._steps[cell]
        return self._windows(cell, steps, Time(steps), Time(steps, slowdown, self.slowed_by), base, head)

    def control(self, base: ArmWorker, head: ArmWorker) -> Measured:
        """Time work that depends on neither arm, in the same alternation."""
        rounds = self.protocol.control_rounds
        return self._windows("control", rounds, Control(rounds), Control(rounds), base, head)

    def _windows(
        self, cell: str, steps: int, of_base: Question, of_head: Question, base: ArmWorker, head: ArmWorker
    ) -> Measured:
        first = self._order.choice(("ABBA", "BAAB"))
        order = "".join(first if n % 2 == 0 else first[::-1].translate(_OTHER) for n in range(self.protocol.rounds))
        timed = []
        for arm in order:
            answer = base.ask(of_base) if arm == "A" else head.ask(of_head)
            assert isinstance(answer, Timed)
            timed.append(answer)
        return Measured(
            cell,
            steps,
            order,
            tuple(one.seconds for one in timed),
            _complete([one.processor_seconds for one in timed]),
            _complete([one.instructions for one in timed]),
        )


_OTHER = str.maketrans("AB", "BA")


def _unmeasured(arm: str, prepared: Prepared) -> Mapping[Quantity, str]:
    if prepared.unmeasured is None:
        return dict.fromkeys(
            ("processor", "instructions"), f"the genbench of {arm}, {prepared.genbench}, measures time only"
        )
    return prepared.unmeasured


def _complete(values: Sequence[float | None]) -> tuple[float, ...]:
    """Return the values if there is one for each window; otherwise nothing."""
    found = tuple(value for value in values if value is not None)
    return found if len(found) == len(values) else ()


def _difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Return which of the settings that both versions know differ, with both values."""
    shared = [key for key in before if key in after and before[key] != after[key]]
    return "; ".join(f"{key}: {before[key]} in base, {after[key]} in head" for key in shared)
