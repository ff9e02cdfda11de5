"""Which curves of a cell share a figure: those of one kind, so that each kind has its own axis."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.report.html.figures import curves
from genbench.results.schema import CellResult, CurvePoint

_KINDS = (  # the first kind with a matching prefix or suffix of the term; any other term is a loss term
    (
        "discriminator accuracy, and augmentation probability",
        ("accuracy_real", "accuracy_fake", "augment_probability"),
    ),
    ("logits of the discriminator", ("real_logit", "fake_logit", "margin")),
    ("energies of the discriminator, and their equilibrium", ("real_energy", "fake_energy", "convergence", "k")),
    ("gradient norm of each network", ("gradient_norm.",)),
    ("diversity of samples relative to the data", ("diversity",)),
)
_LOSS = "loss terms"


def kind_of(term: str) -> str:
    """Return the caption of the figure to which a term belongs; a pattern that ends in a dot is a prefix."""
    last = term.rpartition(".")[2]
    for caption, patterns in _KINDS:
        for pattern in patterns:
            if term.startswith(pattern) if pattern.endswith(".") else last == pattern:
                return caption
    return _LOSS


def training_figures(result: CellResult) -> list[tuple[str, str]]:
    """Return (caption, SVG) of every kind of curve, and of each metric measured during training."""
    groups: dict[str, list[str]] = {_LOSS: []}
    for point in result.curves:
        for term in point.terms:
            names = groups.setdefault(kind_of(term), [])
            if term not in names:
                names.append(term)
    found = [(caption, curves(_with(result.curves, names))) for caption, names in groups.items()]
    measured = [
        CurvePoint(step=point.step, images=point.images, terms={e.metric: e.value for e in point.estimates})
        for point in result.evaluations
    ]
    metrics = list(dict.fromkeys(name for point in measured for name in point.terms))
    if len(measured) > 1:
        found += [(f"{name} during training", curves(_with(measured, [name]))) for name in metrics]
    return [(caption, svg) for caption, svg in found if svg]


def _with(points: Sequence[CurvePoint], names: Sequence[str]) -> list[CurvePoint]:
    """Return the points that have some of these terms, with only these terms."""
    chosen = [
        CurvePoint(step=p.step, images=p.images, terms={name: p.terms[name] for name in names if name in p.terms})
        for p in points
    ]
    return [point for point in chosen if point.terms]
