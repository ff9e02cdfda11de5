"""`genbench.certify_extractor` and `accept_extractor`: whether features can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from genbench import __version__
from genbench.commands.arguments import OptionValues, PluginSource, plugin_paths, request_with_options
from genbench.commands.device import select_present_device
from genbench.commands.printed import Printable
from genbench.datacheck.target import find_target
from genbench.errors import UsageError, near_miss
from genbench.gate.extractor_acceptance import Acceptance
from genbench.gate.extractor_certificate import Certificate, Monotonicity
from genbench.metrics.certification.acceptance import compare
from genbench.metrics.certification.certificate import certify
from genbench.plugins.catalogue import discover
from genbench.report.certificate import acceptance_text, certificate_text
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import figure_of_certificate
from genbench.report.figures.options import Options
from genbench.sampling.held_out import HeldOut, load_held_out

DATASET = "fashion-mnist-mini"
SAMPLES = 2000
LEAST_SAMPLES = 40
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, repr=False)
class ExtractorCertificate(Printable):
    """Whether the distance of an extractor rises as real images degrade."""

    certificate: Certificate

    @property
    def verdict(self) -> Monotonicity:
        """``monotone``, ``not monotone``, or undecided."""
        return self.certificate.verdict

    def text(self) -> str:
        """Return the ladders as the command prints them."""
        return certificate_text(self.certificate)

    def as_data(self) -> dict[str, Any]:
        """Return the certificate with its verdicts and versions."""
        verdicts = {ladder.name: ladder.verdict for ladder in self.certificate.ladders}
        return _with_versions(self.certificate, verdict=self.verdict, verdicts=verdicts)

    def figure(self) -> Figure:
        """Return the figure of the ladders; needs matplotlib."""
        return figure_of_certificate(self.certificate, Options(), make_appearance())


@dataclass(frozen=True, repr=False)
class ExtractorAcceptance(Printable):
    """Whether faster features agree with the exact ones."""

    acceptance: Acceptance

    @property
    def accepted(self) -> bool:
        """Whether the difference is below what is tolerated."""
        return self.acceptance.accepted

    def text(self) -> str:
        """Return what the command prints."""
        return acceptance_text(self.acceptance)

    def as_data(self) -> dict[str, Any]:
        """Return the comparison with its verdict and versions."""
        return _with_versions(self.acceptance, tolerated=self.acceptance.tolerated, accepted=self.accepted)


def certify_extractor(
    extractor: str,
    *,
    dataset: str = DATASET,
    set: OptionValues = (),
    samples: int = SAMPLES,
    device: str = "cpu",
    plugins: PluginSource | Sequence[PluginSource] = (),
    progress: Callable[[str], None] = lambda what: None,
) -> ExtractorCertificate:
    """Test whether an extractor's distance rises as images degrade, as `genbench metrics certify`.

    Raises `UsageError` for unknown names, and `DataError` where the dataset or the extractor is unavailable.

    Args:
        extractor: its name; see ``genbench.catalogue("extractors")``.
        dataset: that the images come from.
        set: options of the dataset.
        samples: number of held-out images, at least 40.
        device: ``cpu``, ``cuda``, ``cuda:1``, … or ``auto``.
        plugins: plugin files, or imported modules with a file of their own.
        progress: called with what is measured next.
    """
    found = _held_out(extractor, dataset, set, samples, device, plugins)
    return ExtractorCertificate(certify(found.evaluation, extractor, dataset, found.data_hash, progress))


def accept_extractor(
    extractor: str,
    *,
    precision: str = "fp32",
    compile: bool = False,
    dataset: str = DATASET,
    set: OptionValues = (),
    samples: int = SAMPLES,
    device: str = "cpu",
    plugins: PluginSource | Sequence[PluginSource] = (),
) -> ExtractorAcceptance:
    """Check that faster features agree with the exact ones, as `genbench metrics accept`.

    The distance between both on the same images must be below a tenth of the standard error. Raises the errors of
    `certify_extractor`. The other arguments are those of `certify_extractor`.

    Args:
        extractor: its name.
        precision: of the network: ``fp32`` or ``bf16``.
        compile: run the network through torch.compile.
        dataset: that the images come from.
        set: options of the dataset.
        samples: number of held-out images, at least 40.
        device: ``cpu``, ``cuda``, ``cuda:1``, … or ``auto``.
        plugins: plugin files, or imported modules with a file of their own.
    """
    if precision not in PRECISIONS:
        close = near_miss(precision, PRECISIONS)
        raise UsageError(
            f"Unknown precision '{precision}'.{close}", f"Precisions: {', '.join(PRECISIONS)}.", code="GB101"
        )
    if precision == "fp32" and not compile:
        raise UsageError("There is no fast path to check.", "Add --precision bf16, --compile, or both.", code="GB806")
    found = _held_out(extractor, dataset, set, samples, device, plugins)
    compared = compare(found.evaluation, extractor, dataset, found.data_hash, precision, compile)  # type: ignore[arg-type]
    return ExtractorAcceptance(compared)


def _held_out(
    extractor: str,
    dataset: str,
    options: OptionValues,
    samples: int,
    device: str,
    plugins: PluginSource | Sequence[PluginSource],
) -> HeldOut:
    if samples < LEAST_SAMPLES:
        raise UsageError(f"samples = {samples} is not valid.", f"It is a whole number, at least {LEAST_SAMPLES}.")
    catalogue = discover(plugin_paths(plugins))
    entry = catalogue.require("extractors", extractor)
    target = find_target(dataset, request_with_options({}, options).set, catalogue)
    choice = target.choice
    if target.folder is not None:
        choice.options["path"] = str(target.folder)
    plugins_used = [entry.plugin, target.plugin]
    return load_held_out(choice, target.shape, extractor, plugins_used, select_present_device(device), samples)


def _with_versions(record: object, **more: object) -> dict[str, Any]:
    return {**msgspec.to_builtins(record), **more, "genbench": __version__, "torch": str(torch.__version__)}
