"""Rules of execution: nothing waits for the host, nothing is tied to one device, one layout, one way to run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError

from genbench.api.training import Batch
from genbench.measure.host_reads import HostReads
from genbench.measure.user_frame import error_location
from genbench.testing.check import check
from genbench.testing.fake_device import FAKE_CUDA, FakeGenerator, fake_gpu, move
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import BATCH, Subject, copy_weights, rng

TRAINED = ("finite-steps",)


@check(
    "no-host-reads",
    *("models", "losses", "families"),
    what="Nothing in a step reads a tensor on the host: no .item(), .cpu(), .tolist(), print, `if tensor:`, x[mask].",
    why="Each read waits until the GPU has caught up; steps are timed, and one read can halve their speed.",
    mend="Stay in tensors: torch.where for `if`, a product for a mask; numbers to look at are terms of the Objective.",
    after=TRAINED,
)
def no_host_reads(subject: Subject) -> None:
    """Watch one step; where there is a GPU, let it complain too."""
    engine, reads = subject.cell().engine, HostReads()
    with reads.watching():
        engine.step()
    asked = {read.line: read.what for read in reversed(reads.counts) if read.line and not read.line.own}
    if asked:
        found = [f"{what} ({Path(line.file).name}, line {line.number})" for line, what in reversed(asked.items())]
        raise RuleViolation(f"a step reads on the host: {', '.join(found[:3])}")
    if torch.cuda.is_available():
        engine = subject.cell(device=torch.device("cuda")).engine
        engine.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            engine.step()
        except RuntimeError as error:
            raise RuleViolation(f"a step waits for the GPU: {error}{error_location(error)}") from error
        finally:
            torch.cuda.set_sync_debug_mode("default")


@check(
    "device-purity",
    *("models", "losses", "families"),
    what="On a GPU, every tensor of a step and of sampling is on that GPU.",
    why="A tensor that stays on the CPU is an error on a GPU, or a copy in every step.",
    mend="Register constants with register_buffer, and create others with device=x.device.",
    after=(*TRAINED, "no-host-reads"),
)
def device_purity(subject: Subject) -> None:
    """Run objectives and sampling on a GPU that computes nothing."""
    shape, labels = subject.shapes[0], subject.labels(BATCH)
    networks = subject.networks()
    try:
        with fake_gpu():
            move(networks)
            family = subject.family_on(networks, FAKE_CUDA)
            there = None if labels is None else torch.empty(BATCH, dtype=torch.int64, device=FAKE_CUDA)
            progress = torch.empty((), device=FAKE_CUDA)
            shared: dict[str, object] = {}
            for phase in family.phases():
                images = torch.empty(BATCH, *shape, device=FAKE_CUDA)
                total = phase.objective(Batch(images, there, FakeGenerator(), True, shared, progress)).total
                if total.device.type != "cuda":
                    raise RuleViolation(f"the phase '{phase.name}' ends on the {total.device.type}")
            with torch.no_grad():
                samples = family.sample(BATCH, FakeGenerator(), there)
            if samples.device.type != "cuda":
                raise RuleViolation(f"samples end on the {samples.device.type}")
    except FakeTensorDeviceMismatchError as error:
        raise RuleViolation(f"{error}{error_location(error)}".replace("cuda:0", "the GPU")) from error
    except RuleViolation:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotApplicable(f"a GPU without values cannot follow it: {first}{error_location(error)}") from None


@check(
    "memory-layout",
    "models",
    what="Networks in the memory format channels_last return what they return in the usual one.",
    why="Models with convolutions are run in channels_last, which is faster; the numbers must not depend on it.",
    mend="Use flatten and reshape instead of view, and never look at strides.",
    after=TRAINED,
)
def memory_layout(subject: Subject) -> None:
    """Compare samples, and logits or encodings of images, in both layouts."""
    shape, labels = max(subject.shapes, key=lambda shape: (shape[0], -shape[1])), subject.labels(BATCH)
    networks = {name: network.eval() for name, network in subject.networks(shape).items()}
    family = subject.family_on(networks, shape=shape)
    # Of other families it is not known what their networks read.
    name = {"adversarial": "discriminator", "variational": "encoder"}.get(subject.family.name)
    readers = [networks[name]] if name else []
    pixels = subject.images(BATCH, shape)

    def run(images: Tensor) -> list[Tensor]:
        torch.manual_seed(1)
        found = [family.sample(BATCH, rng(), labels)]
        for reader in readers:
            read = reader(images) if labels is None else reader(images, labels)
            found += read if isinstance(read, tuple | list) else [read]
        return found

    with torch.no_grad():
        usual = run(pixels)
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        last = run(pixels.to(memory_format=torch.channels_last))
    for one, other in zip(usual, last, strict=True):
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
            raise RuleViolation(f"values differ by up to {float((one - other).abs().max()):.3g}")


@check(
    "compiles",
    "models",
    what="Networks under torch.compile train and sample as they do without.",
    why="Compiled steps must mean the same computation, or their speed is that of another model.",
    mend="Do not ask torch.compiler.is_compiling(), and keep Python state out of `forward`.",
    after=TRAINED,
)
def compiles(subject: Subject) -> None:
    """Take a step and a sample, both ways; without a backend, so no C++ compiler is needed."""
    plain, compiled = subject.cell(), subject.cell()
    copy_weights(plain, compiled)
    torch._dynamo.reset()
    try:
        for network in compiled.engine.networks.values():
            network.compile(backend="eager")
        found = []
        for built in (plain, compiled):
            torch.manual_seed(1)
            built.engine.step()
            family = built.family_for_sampling()
            with torch.no_grad():
                samples = family.sample(BATCH, rng(), subject.labels(BATCH))
            found.append({**built.engine.read_terms(), "samples": samples})
    finally:
        torch._dynamo.reset()
    for name, one in found[0].items():
        if not torch.allclose(one, found[1][name], rtol=1e-3, atol=1e-4):
            raise RuleViolation(
                f"compiled, '{name}' is another by up to {float((one - found[1][name]).abs().max()):.3g}"
            )
