"""Transfer: initial weights from a file, and parameters that stay frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from genbench.api.training import Phase
from genbench.errors import UsageError, near_miss
from genbench.train.checkpoint import checksum


@dataclass(frozen=True)
class TransferReport:
    """What was and was not loaded from a weights file, by names ``<network>.<parameter>``."""

    taken: tuple[str, ...]
    missing: tuple[str, ...]  # only in the model: trained from scratch
    unused: tuple[str, ...]  # only in the file
    mismatched: tuple[str, ...]  # in both with different shapes, given after the name: trained from scratch


def load_initial(networks: Mapping[str, nn.Module], path: Path) -> TransferReport:
    """Copy parameters and buffers from a safetensors file into the networks, by name and shape; return a report.

    Floating-point weights are cast to the precision of the networks. Nothing is copied unless all of it is valid.

    Raises `UsageError` if the file is missing, damaged, a pickle or a checkpoint, if a weight to be loaded is not
    finite or not of the same kind (integer, floating point), and if no parameter fits.
    """
    stored = _read(path)
    own = {
        f"{name}.{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
        if isinstance(tensor, Tensor)
    }
    shared = [name for name in own if name in stored]
    taken = [name for name in shared if stored[name].shape == own[name].shape]
    report = TransferReport(
        taken=tuple(taken),
        missing=tuple(name for name in own if name not in stored),
        unused=tuple(name for name in stored if name not in own),
        mismatched=tuple(
            f"{name}: {_shape(stored[name])} in the file, {_shape(own[name])} in the model"
            for name in shared
            if stored[name].shape != own[name].shape
        ),
    )
    parameters = {f"{name}.{key}" for name, network in networks.items() for key, _ in network.named_parameters()}
    if parameters and not parameters & set(taken):  # a counter of batches always fits, but is not a transfer
        raise _nothing_fits(path, networks, stored, report)
    cast = {name: _cast(path, name, stored[name], own[name]) for name in taken}
    with torch.no_grad():
        for name, values in cast.items():
            own[name].copy_(values)
    return report


def freeze(networks: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[str]:
    """Stop training the parameters whose names ``<network>.<parameter>`` match a shell pattern; return those names.

    As in FreezeD (Mo et al. 2020, "Freeze the Discriminator", arXiv:2002.10964), only parameters are frozen. Batch norm
    still normalises by the batch during training, and its running averages follow the current activations, as sampling
    requires.

    Raises `UsageError`, and freezes nothing, if a pattern matches no parameter.
    """
    parameters = {
        f"{name}.{key}": parameter
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
    }
    matched: set[str] = set()
    for pattern in patterns:
        names = {name for name in parameters if fnmatchcase(name, pattern)}
        if not names:
            raise UsageError(
                f"freeze: no parameter matches '{pattern}'.{near_miss(pattern, _patterns(parameters))}",
                f"Names begin with a network: {', '.join(networks)}; the first is {next(iter(parameters), 'none')}.",
                code="GB510",
            )
        matched |= names
    frozen = [name for name in parameters if name in matched]
    for name in frozen:
        parameters[name].requires_grad_(False)
    return frozen


def require_trainable(networks: Mapping[str, nn.Module], phases: Sequence[Phase], frozen: Sequence[str]) -> None:
    """Raise `UsageError` if freezing leaves a phase nothing to train; single networks may be frozen entirely."""
    for phase in phases:
        affected = any(name.startswith(f"{network}.") for network in phase.networks for name in frozen)
        trains = any(p.requires_grad for network in phase.networks for p in networks[network].parameters())
        if affected and not trains:
            raise UsageError(
                f"freeze leaves the phase '{phase.name}' nothing to train of {', '.join(phase.networks)}.",
                "Freeze fewer layers; FreezeD, for example, freezes the first layers of the discriminator.",
                code="GB510",
            )


def _read(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name; raise `UsageError` if it is not a valid weights file."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise UsageError(
            f"The initial weights {path} cannot be read: {error.strerror}.", "Check init_from.", code="GB508"
        ) from None
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        if (
            start[:1] == b"\x80" or start == b"PK"
        ):  # the start of a pickle of protocol 2 or later, and of the zip by torch.save
            raise UsageError(
                f"The initial weights {path} are a pickle, and reading it could run arbitrary code.",
                "If you trust it, convert it: load it with torch.load(path, weights_only=True), name the tensors "
                "<network>.<parameter>, and write them with safetensors.torch.save_file.",
                code="GB307",
            ) from None
        raise _damaged(path, str(error)) from None
    if "numbers" in metadata:
        raise UsageError(
            f"{path} is the checkpoint of an unfinished training, not a weights file.",
            "Finish it with `genbench run --resume RUN`, or name another file.",
            code="GB508",
        )
    if "checksum" in metadata and metadata["checksum"] != checksum(tensors):
        raise _damaged(path, "its tensors are not those that were written")
    return tensors


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"The initial weights {path} are damaged or not a safetensors file: {reason}.",
        "Copy or create the file again.",
        code="GB508",
    )


def _cast(path: Path, name: str, stored: Tensor, held: Tensor) -> Tensor:
    if stored.is_floating_point() != held.is_floating_point() or stored.is_complex() != held.is_complex():
        raise UsageError(
            f"'{name}' in {path} has the type {_dtype(stored)}, in the model {_dtype(held)}.",
            "Convert it, or remove it from the file.",
            code="GB508",
        )
    values = stored.to(held.dtype)
    if not bool(values.isfinite().all()):
        raise UsageError(
            f"'{name}' in {path} has values that are not finite.",
            "Use weights from a training that did not diverge.",
            code="GB604",
        )
    return values


def _nothing_fits(
    path: Path, networks: Mapping[str, nn.Module], stored: Mapping[str, Tensor], report: TransferReport
) -> UsageError:
    cause = f"No weight in {path} fits the model"
    if report.mismatched:
        return UsageError(
            f"{cause}: shapes differ, for example {report.mismatched[0]}.",
            "Use the model, options, latent dimension and image size that the weights were trained with.",
            code="GB508",
        )
    prefixes = list(dict.fromkeys(name.partition(".")[0] for name in stored))
    if set(prefixes) & set(networks):
        return UsageError(
            f"{cause}: the file has, for example, {report.unused[0]}, and the model {report.missing[0]}.",
            "Use the model that the weights were trained with.",
            code="GB508",
        )
    hints = "".join(near_miss(name, networks) for name in prefixes[:1])
    return UsageError(
        f"{cause}: it has the networks {', '.join(prefixes[:5]) or 'none'}, the model {', '.join(networks)}.{hints}",
        "Name the file's tensors <network>.<parameter>, with the names of the model's networks.",
        code="GB508",
    )


def _patterns(parameters: Mapping[str, object]) -> list[str]:
    """Return patterns that a user may have meant: every name, and ``module.*`` for every module."""
    found = dict.fromkeys(parameters)
    for name in parameters:
        parts = name.split(".")
        found |= dict.fromkeys(".".join([*parts[:depth], "*"]) for depth in range(1, len(parts)))
    return list(found)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
