"""The blocks of a comparison: fresh processes of both arms, windows in turns, one log ratio per cell and block.

Within a block the windows alternate ABBA, BAAB, …, so that a machine that slows down does the same to both arms.
What differs between two processes of the same code (the layout of memory, above all) is drawn anew in each block; that
is why a block, and not a window, is one sample.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from genbench.ab.arm import Arm
from genbench.ab.wire import Answer, Control, Failed, Open, Opened, Prepare, Prepared, Question, Time, Timed
from genbench.errors import ExitCode, GenbenchError, UsageError
from genbench.process.lines import Lines
from genbench.runner.pool import worker_environment

START = Path(__file__).with_name("start.py")
ANSWER_SECONDS = 300.0  # importing torch on a cold disk, or compiling; a worker that is silent for longer is ended


class ArmFailed(GenbenchError):
    """A worker ended, or could not answer; the message says which, and why."""

    exit_code = ExitCode.FAILED_CELLS

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


@dataclass(frozen=True)
class Measured:
    """One cell in one block: seconds of each window, in the order in which they were measured."""

    cell: str
    steps: int  # in each window
    order: str  # 'ABBABAAB': A is base
    seconds: tuple[float, ...]

    @property
    def log_ratio(self) -> float:
        """The logarithm of head's time over base's: the median over pairs of neighbouring windows.

        What disturbs a few windows, as on a shared machine others do, does not move it. NaN where one took no time.
        """
        if min(self.seconds) <= 0:
            return math.nan
        pairs = zip(self.order[::2], self.seconds[::2], self.seconds[1::2], strict=True)
        return statistics.median(math.log(two / one if first == "A" else one / two) for first, one, two in pairs)


@dataclass(frozen=True)
class Block:
    """What one pair of processes measured; cells that failed are in `failed`, with the reason."""

    number: int
    measured: tuple[Measured, ...]
    control: Measured | None
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """What both arms can measure, and what only one of them has."""

    cells: tuple[str, ...]
    only_base: tuple[str, ...]
    only_head: tuple[str, ...]
    not_comparable: Mapping[str, str]  # by cell, which settings of the step differ
    impossible: Mapping[str, str]
    versions: Mapping[str, dict[str, str]]  # by arm


class Live:
    """One live worker of an arm, which starts and ends with the context."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm

    def _start(self) -> None:
        arm = self.arm
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        ours, theirs = socket.socketpair()
        with theirs:
            environment = worker_environment(arm.environment)
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(START), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=arm.place,
                start_new_session=True,
            )
        ours.settimeout(ANSWER_SECONDS)
        self._lines = Lines(ours)

    def __enter__(self) -> Live:
        with contextlib.ExitStack() as undo:
            with signals_held():  # a Ctrl-C between fork and here would leave a process that nobody knows
                self._start()
                undo.callback(self.end)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill the worker and all that it started."""
        self._lines.socket.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._complaints.close()

    def ask(self, question: Question) -> Answer:
        """Return the answer to a question; raise `ArmFailed` where there is none."""
        self.tell(question)
        return self.hear()

    def tell(self, question: Question) -> None:
        """Send a question whose answer is heard later."""
        try:
            self._lines.send(question)
        except OSError:
            raise ArmFailed(self.arm.name, self._how_it_ended()) from None

    def hear(self) -> Answer:
        """Wait for the answer to the last question."""
        received: list[bytes] = []
        while not received:
            try:
                more = self._lines.receive()
            except TimeoutError:
                raise ArmFailed(self.arm.name, f"no answer within {ANSWER_SECONDS:.0f} s") from None
            if more is None:
                raise ArmFailed(self.arm.name, self._how_it_ended())
            received = more
        answer: Answer = msgspec.json.decode(received[0], type=Answer)
        if isinstance(answer, Failed):
            raise ArmFailed(self.arm.name, answer.reason)
        return answer

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        if any("No module named 'genbench.ab" in line or "No module named genbench.ab" in line for line in said):
            return "this version of genbench is older than `genbench ab` and cannot be measured live"
        code = self._process.returncode
        return f"its process ended (exit status {code})" + (f": {said[-1]}" if said else "")


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end of the block."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda found, _: caught.append(found)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in caught[:1]:
            os.kill(os.getpid(), first)


class Session:
    """Measures blocks of two arms.

    Args:
        base: the arm that is compared with.
        head: the arm that is judged.
        prepare: what both are to plan.
        protocol: how a block is measured.
        slowdown: share of time by which head's steps are slowed on purpose; 0 but for calibration.
        seed: of the order in which cells and first arms take turns.
    """

    def __init__(
        self,
        base: Arm,
        head: Arm,
        prepare: Prepare,
        protocol: Protocol | None = None,
        slowdown: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.base, self.head, self.prepare = base, head, prepare
        self.protocol = protocol or Protocol()
        self.slowdown = slowdown
        self._order = random.Random(seed)
        self._steps: dict[str, int] = {}

    def survey(self) -> Sides:
        """Ask both arms what they can measure, and pair their cells by name."""
        with Live(self.base) as base, Live(self.head) as head:
            base.tell(self.prepare)
            head.tell(self.prepare)
            mine, theirs = base.hear(), head.hear()
        assert isinstance(mine, Prepared)
        assert isinstance(theirs, Prepared)
        nowhere = [told for name, told in theirs.unknown.items() if name in mine.unknown]
        if nowhere:
            raise UsageError(nowhere[0])
        before, after = {cell.name: cell for cell in mine.cells}, {cell.name: cell for cell in theirs.cells}
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
                "base": {"genbench": mine.genbench, "torch": mine.torch, **mine.packages},
                "head": {"genbench": theirs.genbench, "torch": theirs.torch, **theirs.packages},
            },
        )

    def block(self, number: int, cells: Sequence[str], on_cell: Callable[[str], None] = lambda _: None) -> Block:
        """Measure the cells once with fresh processes; a cell that fails in one arm costs only itself."""
        measured: list[Measured] = []
        failed: dict[str, str] = {}
        control: Measured | None = None
        waiting = list(cells)
        self._order.shuffle(waiting)
        while waiting:
            # A worker that died takes no other cell along: the rest goes on in fresh ones.
            try:
                with Live(self.base) as base, Live(self.head) as head:
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

    def ready(self, base: Live, head: Live) -> None:
        """Let two new workers plan, side by side."""
        for live in (base, head):
            live.tell(self.prepare)
        for live in (base, head):
            live.hear()

    def open(self, cell: str, base: Live, head: Live) -> None:
        """Build a cell in both arms and warm it up; base's step says how many make a window, once for all blocks."""
        for live in (base, head):
            answer = live.ask(Open(cell=cell, warmup=self.protocol.warmup_steps))
            assert isinstance(answer, Opened)
            self._steps.setdefault(cell, max(1, round(self.protocol.window_seconds / answer.seconds_per_step)))

    def time(self, cell: str, base: Live, head: Live, slowdown: float = 0.0) -> Measured:
        """Time the windows of the open cell, head's steps slowed by this share of their time."""
        steps = self._steps[cell]
        return self._windows(cell, steps, Time(steps), Time(steps, slowdown), base, head)

    def control(self, base: Live, head: Live) -> Measured:
        """Time work that neither arm touches, in the same alternation."""
        rounds = self.protocol.control_rounds
        return self._windows("control", rounds, Control(rounds), Control(rounds), base, head)

    def _windows(self, cell: str, steps: int, of_base: Question, of_head: Question, base: Live, head: Live) -> Measured:
        first = self._order.choice(("ABBA", "BAAB"))
        order = "".join(first if n % 2 == 0 else first[::-1].translate(_OTHER) for n in range(self.protocol.rounds))
        seconds = []
        for arm in order:
            answer = base.ask(of_base) if arm == "A" else head.ask(of_head)
            assert isinstance(answer, Timed)
            seconds.append(answer.seconds)
        return Measured(cell, steps, order, tuple(seconds))


_OTHER = str.maketrans("AB", "BA")


def _difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Say which settings differ; one that only one version knows differs where it is not this version's business."""
    shared = [key for key in before if key in after and before[key] != after[key]]
    return "; ".join(f"{key}: {before[key]} in base, {after[key]} in head" for key in shared)
