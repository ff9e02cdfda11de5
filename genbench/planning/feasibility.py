"""Why a combination of model, loss, dataset and recipe cannot work: its cell is skipped when the run is planned."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from genbench.api.discriminators import DEFAULT_INPUTS, unfit_output
from genbench.api.images import Shape
from genbench.api.options import OptionValue
from genbench.api.recipe import Recipe
from genbench.api.shape_rule import ShapeRule, accepts_shape, example_shapes, shapes_in_words
from genbench.api.specs import DatasetSpec, FamilySpec, LossSpec, ModelSpec
from genbench.errors import near_miss
from genbench.planning.targets import Estimates, with_estimates
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import CellIdentity

DISTRIBUTED_ENGINES = ("eager", "auto")  # engines that run in several processes


def missing_family_reason(model: ModelSpec, catalogue: Catalogue) -> str:
    """Return why the model's family is not available."""
    claims = catalogue.quarantined_claims("families", model.family)
    suggestion = near_miss(model.family, catalogue.families)
    unknown = ", which no plugin registers" + (f".{suggestion}" if suggestion else "")
    why = f" of the {claims[0].explanation}" if claims else unknown
    return f"model '{model.name}' needs the family '{model.family}'{why}"


def infeasibility_reason(
    model: ModelSpec,
    loss: LossSpec,
    family: FamilySpec,
    data: DatasetSpec,
    identity: CellIdentity,
    recipe: Recipe,
    estimates: Estimates = MappingProxyType({}),
) -> str:
    """Return why this combination cannot work, or an empty string; `estimates` are those of its metrics."""
    if loss.family != model.family:
        return f"loss '{loss.name}' is {loss.family}, model '{model.name}' is {model.family}"
    return (
        _unsupported_shape(model, data, identity.image_shape)
        or _missing_labels(model, data)
        or _unfit_discriminator(model, loss)
        or _violated_restriction(model, loss, family, identity, recipe)
        or _impossible_setting(model, data, identity, recipe, estimates)
    )


def _unsupported_shape(model: ModelSpec, data: DatasetSpec, image_shape: Shape) -> str:
    declared = model.image_shapes
    if accepts_shape(declared, image_shape):
        return ""
    shapes = str(declared) if isinstance(declared, ShapeRule) else f"images of {shapes_in_words(declared)}"
    hint = ""
    if any(option.name == "size" for option in data.option_schema):
        sizes = sorted({shape[1] for shape in example_shapes(declared) if shape[1] == shape[2]})
        such = "such as " if isinstance(declared, ShapeRule) else ""
        hint = f"; choose one with --set {data.name}.size=… ({such}{', '.join(map(str, sizes))})"
    return f"model '{model.name}' accepts {shapes}, dataset '{data.name}' has {'×'.join(map(str, image_shape))}{hint}"


def _missing_labels(model: ModelSpec, data: DatasetSpec) -> str:
    unlabelled = not data.classes and data.train_size is not None
    return (
        f"model '{model.name}' needs labels, dataset '{data.name}' has none" if model.conditional and unlabelled else ""
    )


def _unfit_discriminator(model: ModelSpec, loss: LossSpec) -> str:
    if not unfit_output(model.discriminator_output, loss.discriminator_outputs):
        return ""
    return (
        f"loss '{loss.name}' takes {' or '.join(loss.discriminator_outputs or DEFAULT_INPUTS)}, the discriminator of "
        f"'{model.name}' returns {model.discriminator_output or 'logits'}"
    )


def _violated_restriction(
    model: ModelSpec, loss: LossSpec, family: FamilySpec, identity: CellIdentity, recipe: Recipe
) -> str:
    """Return the first restriction of the model, loss or family that the cell violates, with its reason."""
    declared: list[tuple[str, ModelSpec | LossSpec | FamilySpec, Mapping[str, OptionValue]]] = [
        ("model", model, identity.model.options),
        ("loss", loss, identity.loss.options),
        ("family", family, {}),
    ]
    for kind, spec, options in declared:
        for restriction in spec.restrictions:
            violation = restriction.violation(recipe, identity.device, options)
            if violation:
                return f"{kind} '{spec.name}' does not work with {violation}: {restriction.reason}"
    return ""


def _impossible_setting(
    model: ModelSpec, data: DatasetSpec, identity: CellIdentity, recipe: Recipe, estimates: Estimates
) -> str:
    if recipe.precision == "tf32" and identity.device == "cpu":
        return "precision tf32 exists only on NVIDIA GPUs: use fp32 or bf16 on a CPU"
    if recipe.best_metric and recipe.best_metric not in with_estimates(identity.metrics, estimates):
        return f"best_metric '{recipe.best_metric}' is not measured for '{model.name}' on '{data.name}'"
    if data.train_size is not None and recipe.batch_size > data.train_size:
        return (
            f"batch_size {recipe.batch_size} is larger than the {data.train_size} training images of '{data.name}'; "
            f"use --batch-size {data.train_size} or less"
        )
    if recipe.processes > 1 and recipe.engine not in DISTRIBUTED_ENGINES:
        return f"engine '{recipe.engine}' runs in one process only; with --nproc use --engine eager"
    return ""
