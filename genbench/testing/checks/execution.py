"""Rules of execution: no host synchronisation, and no dependence on a device, a memory layout or an engine."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from genbench.api.training import Batch
from genbench.measure.host_reads import HostReads
from genbench.measure.user_frame import error_location
from genbench.testing.check import check
from genbench.testing.fake_device import FAKE_CUDA, FakeGenerator, fake_gpu, move_to_fake_gpu
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import BATCH, Subject, copy_weights, rng

TRAINED = ("finite-steps",)
_TWO_DEVICES = re.compile(r"two (different )?devices")


@check(
    "no-host-reads",
    *("models", "losses", "families"),
    what="A step never reads a tensor on the host: no .item(), .cpu(), .tolist(), print, `if tensor:`, x[mask].",
    why="Each read waits for the GPU; a single one can halve the speed of a step.",
    fix="Use torch.where instead of `if`, a product instead of a mask index, and terms of the Objective for logging.",
    after=TRAINED,
)
def no_host_reads(subject: Subject) -> None:
    """Record the reads of one step; if there is a GPU, run one with torch's own check of synchronisations too."""
    engine, reads = subject.cell().engine, HostReads()
    with reads.watching():
        engine.step()
    found_reads = {read.line: read.what for read in reversed(reads.counts) if read.line and not read.line.own}
    if found_reads:
        found = [f"{what} ({Path(line.file).name}, line {line.number})" for line, what in reversed(found_reads.items())]
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
    why="A tensor left on the CPU causes an error on a GPU, or a copy in every step.",
    fix="Register constants with register_buffer, and create other tensors with device=x.device.",
    after=(*TRAINED, "no-host-reads"),
)
def device_purity(subject: Subject) -> None:
    """Run objectives and sampling on a fake GPU that computes nothing."""
    shape, labels = subject.shapes[0], subject.labels(BATCH)
    networks = subject.networks()
    try:
        with fake_gpu():
            move_to_fake_gpu(networks)
            family = subject.create_family(networks, FAKE_CUDA)
            fake_labels = None if labels is None else torch.empty(BATCH, dtype=torch.int64, device=FAKE_CUDA)
            progress = torch.empty((), device=FAKE_CUDA)
            shared: dict[str, object] = {}
            for phase in family.phases():
                images = torch.empty(BATCH, *shape, device=FAKE_CUDA)
                total = phase.objective(Batch(images, fake_labels, FakeGenerator(), True, shared, progress)).total
                if total.device.type != FAKE_CUDA.type:
                    raise RuleViolation(f"the loss of the phase '{phase.name}' is on the {total.device.type}")
            with torch.no_grad():
                samples = family.sample(BATCH, FakeGenerator(), fake_labels)
            if samples.device.type != FAKE_CUDA.type:
                raise RuleViolation(f"the samples are on the {samples.device.type}")
    except RuleViolation:
        raise
    except Exception as error:
        if _TWO_DEVICES.search(str(error)):  # torch 2.8 has no exception of its own for this
            raise RuleViolation(f"{error}{error_location(error)}".replace("cuda:0", "the GPU")) from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotApplicable(
            f"the code cannot run on a fake GPU without values: {first}{error_location(error)}"
        ) from None


@check(
    "memory-layout",
    "models",
    what="Networks return the same values in the memory format channels_last as in the default one.",
    why="Convolutional models run in channels_last, which is faster; results must not depend on it.",
    fix="Use flatten and reshape instead of view, and do not depend on strides.",
    after=TRAINED,
)
def memory_layout(subject: Subject) -> None:
    """Compare samples, and logits or encodings of images, in both layouts."""
    shape, labels = max(subject.shapes, key=lambda shape: (shape[0], -shape[1])), subject.labels(BATCH)
    networks = {name: network.eval() for name, network in subject.networks(shape).items()}
    family = subject.create_family(networks, shape=shape)
    # For other families it is unknown which network takes images.
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
        default = run(pixels)
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        channels_last = run(pixels.to(memory_format=torch.channels_last))
    for one, other in zip(default, channels_last, strict=True):
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
            raise RuleViolation(f"values differ by up to {float((one - other).abs().max()):.3g}")


@check(
    "compiles",
    "models",
    what="Networks train and sample the same with torch.compile as without it.",
    why="A compiled step must perform the same computation, or its speed is that of another model.",
    fix="Do not branch on torch.compiler.is_compiling(), and keep Python state out of `forward`.",
    after=TRAINED,
)
def compiles(subject: Subject) -> None:
    """Take a step and sample, both ways; the backend generates no code, so no C++ compiler is needed."""
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
                f"with torch.compile, '{name}' differs by up to {float((one - found[1][name]).abs().max()):.3g}"
            )
