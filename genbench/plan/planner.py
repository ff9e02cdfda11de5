"""From a request to a plan: every cell that was asked for, and why an impossible one is impossible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from msgspec import UNSET

from genbench import __version__
from genbench.api.images import Shape
from genbench.api.options import OptionValue, resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.specs import (
    ConfigurableSpec,
    DatasetSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
)
from genbench.errors import UsageError, near_miss
from genbench.plan.dataset_folders import require_folders
from genbench.plan.identity import IDENTITY_VERSION, cell_id, origin, origins_of_others, reference_id
from genbench.plan.process_counts import check_shares, why_not
from genbench.plan.profiles import Profile, find_profile
from genbench.plan.remedies import check_remedies, initial_hash
from genbench.plan.request import Request, Variant
from genbench.plan.settings import Settings, check_settings, chosen_latent_dim, own_settings, recipe_settings
from genbench.plan.targets import (
    Directions,
    check_targets,
    make_targets,
    with_evaluations,
)
from genbench.plugins.catalogue import LIKELIHOOD, Catalogue, Entry
from genbench.plugins.feature_metrics import PREFIXES, with_prefix
from genbench.plugins.loader import Kind, Plugin
from genbench.results.schema import CellIdentity, Choice, PlannedCell, PlannedReference, Target


@dataclass(frozen=True)
class Plan:
    """The cells of a run, in the order in which they are executed, and what was noticed on the way."""

    profile: Profile
    cells: list[PlannedCell]
    references: list[PlannedReference]
    plugins: list[Plugin]  # third-party plugins that the cells need
    warnings: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    @property
    def possible(self) -> list[PlannedCell]:
        """The cells that can be executed."""
        return [cell for cell in self.cells if not cell.reason]


@dataclass(frozen=True)
class _Dataset:
    entry: Entry[DatasetSpec]
    choice: Choice
    shape: Shape


@dataclass(frozen=True)
class _Variant:
    name: str  # empty: the plan has no variants
    recipe: Mapping[str, OptionValue]  # what was given: of the plan, its precision, and the variant
    set: Settings  # likewise


def make_plan(request: Request, catalogue: Catalogue, device: str) -> Plan:
    """Expand models × losses × datasets × variants × precisions × processes × seeds into cells for 'cpu' or 'cuda'.

    Raises `UsageError` for an unknown name, an unknown or ill-typed option, or a request in which no cell is possible.
    """
    profile = find_profile(request.profile)
    datasets = [_dataset(text, request, catalogue) for text in request.datasets]
    models = [catalogue.require("models", name) for name in request.models]
    losses = [catalogue.require("losses", name) for name in request.losses]
    pairs = [(model, loss) for model in models for loss in losses or [_default_loss(model, catalogue)]]
    metrics = _metrics(request, catalogue, profile)
    directions: Directions = {name: entry.spec.direction for name, entry in catalogue.metrics.items()}
    targets = make_targets(request.target, [metric.name for metric in metrics], directions)
    taking_part = [*_of_pairs(pairs), *(dataset.entry.spec for dataset in datasets)]
    taking_part += [catalogue.require("reporters", name).spec for name in request.reporters]
    check_settings(request.set, taking_part, catalogue)
    variants = _variants(request)
    for variant in variants:
        with _naming(variant):  # not of datasets: those are loaded alike for all variants
            check_settings(request.variants[variant.name].set if variant.name else {}, _of_pairs(pairs), catalogue)

    cells = [
        _cell(request, catalogue, profile, model, loss, dataset, variant, seed, device, metrics, directions)
        for dataset in datasets
        for model, loss in pairs
        for variant in variants
        for seed in request.seeds
    ]
    cells, alike = _distinct(cells)
    possible = [cell for cell in cells if not cell.reason]
    if not possible:
        reasons = "\n".join(
            f"  {cell.identity.model.name} × {cell.identity.loss.name}"
            f"{f' × {cell.variant}' if cell.variant else ''}: {cell.reason}"
            for cell in cells
        )
        raise UsageError(f"None of the {len(cells)} cells that were asked for is possible.", reasons)
    check_targets(targets, possible)
    return Plan(
        profile=profile,
        cells=cells,
        references=_references(possible),
        plugins=third_party_plugins(catalogue, possible),
        warnings=[*_warnings(catalogue, cells), *alike],
        targets=targets,
    )


def _of_pairs(pairs: Iterable[tuple[Entry[ModelSpec], Entry[LossSpec]]]) -> list[ConfigurableSpec]:
    return [entry.spec for pair in pairs for entry in pair]


def _variants(request: Request) -> list[_Variant]:
    """Return every choice of settings: each variant, laid over the plan's own, in each precision, by each `nproc`."""
    axes: dict[str, Sequence[OptionValue]] = {"precision": request.precision, "nproc": request.nproc}
    asked = {name: values for name, values in axes.items() if values}
    points: list[dict[str, OptionValue]] = [
        dict(zip(asked, values, strict=True)) for values in product(*asked.values())
    ]
    return [
        _Variant(name, {**request.recipe, **point, **variant.recipe}, _laid_over(request.set, variant.set))
        for name, variant in (request.variants or {"": Variant()}).items()
        for point in points
    ]


def _laid_over(lower: Settings, upper: Settings) -> Settings:
    return {name: {**lower.get(name, {}), **upper.get(name, {})} for name in {**lower, **upper}}


def _distinct(cells: Iterable[PlannedCell]) -> tuple[list[PlannedCell], list[str]]:
    """Return each cell once, under the first variant that asks for it, and a note on the others."""
    first: dict[str, PlannedCell] = {}
    notes: dict[str, None] = {}
    for cell in cells:
        kept = first.setdefault(cell.id, cell)
        if kept.variant != cell.variant:
            same = f"variant '{cell.variant}' of '{cell.identity.model.name}' has the recipe of '{kept.variant}'"
            notes[f"{same}: it is measured once, as '{kept.variant}'"] = None
    return list(first.values()), list(notes)


@contextmanager
def _naming(variant: _Variant) -> Iterator[None]:
    """Say in which variant a recipe lacks what it needs."""
    try:
        yield
    except UsageError as error:
        if not variant.name:
            raise
        raise UsageError(f"Variant '{variant.name}': {error.cause}", error.cure) from None


def _cell(
    request: Request,
    catalogue: Catalogue,
    profile: Profile,
    model: Entry[ModelSpec],
    loss: Entry[LossSpec],
    dataset: _Dataset,
    variant: _Variant,
    seed: int,
    device: str,
    metrics: Sequence[MetricSpec],
    directions: Directions,
) -> PlannedCell:
    spec = model.spec
    layers = (spec.recipe, loss.spec.recipe, profile.recipe, variant.recipe, recipe_settings(variant.set, spec))
    recipe = resolve_recipe(*layers, owner=spec.name)
    measured = [] if dataset.entry.spec.synthetic else [metric.name for metric in metrics]
    if request.target and measured:
        recipe = with_evaluations(recipe)
    with _naming(variant):
        check_remedies(recipe, measured, directions)
        check_shares(recipe)
        init_hash = initial_hash(recipe)
    family = catalogue.families.get(spec.family)
    asked = _cell_metrics(metrics, family.spec if family else None, dataset.entry.spec)
    identity = CellIdentity(
        identity_version=IDENTITY_VERSION,
        model=_choice(model, own_settings(variant.set, spec)),
        family=Choice(name=spec.family, origin=origin(family.plugin if family else model.plugin)),
        loss=_choice(loss, own_settings(variant.set, loss.spec)),
        dataset=dataset.choice,
        image_shape=dataset.shape,
        latent_dim=chosen_latent_dim(variant.set, spec),
        recipe=recipe,
        device=device,
        seed=seed,
        metrics=asked,
        metric_origins=origins_of_others({name: catalogue.metrics[name].plugin for name in asked}) or UNSET,
        init_hash=init_hash,
        genbench=__version__,
    )
    reason = _impossible(spec, loss.spec, dataset, identity) if family else _missing_family(spec, catalogue)
    return PlannedCell(
        id=cell_id(identity),
        identity=identity,
        variant=variant.name,
        reason=reason,
        synthetic_data=dataset.entry.spec.synthetic,
    )


def _choice(entry: Entry[Any], given: Mapping[str, OptionValue]) -> Choice:
    options = resolve_options(entry.spec.option_schema, given, entry.spec.name)
    return Choice(name=entry.spec.name, options=options, origin=origin(entry.plugin))


def _missing_family(model: ModelSpec, catalogue: Catalogue) -> str:
    claims = catalogue.quarantined_claims("families", model.family)
    miss = near_miss(model.family, catalogue.families)
    unknown = ", which no plugin registers" + (f".{miss}" if miss else "")
    why = f" of the {claims[0].explanation}" if claims else unknown
    return f"model '{model.name}' is of the family '{model.family}'{why}"


def _impossible(model: ModelSpec, loss: LossSpec, dataset: _Dataset, identity: CellIdentity) -> str:
    """Return why these do not go together, or an empty string."""
    data, recipe = dataset.entry.spec, identity.recipe
    if loss.family != model.family:
        return f"loss '{loss.name}' is {loss.family}, model '{model.name}' is {model.family}"
    if model.image_shapes is not None and dataset.shape not in model.image_shapes:
        shapes = ", ".join("×".join(map(str, shape)) for shape in model.image_shapes)
        hint = ""
        if any(option.name == "size" for option in data.option_schema):
            sizes = sorted({shape[1] for shape in model.image_shapes if shape[1] == shape[2]})
            hint = f"; choose one with --set {data.name}.size=… ({', '.join(map(str, sizes))})"
        return (
            f"model '{model.name}' takes images of {shapes}, dataset '{data.name}' has "
            f"{'×'.join(map(str, dataset.shape))}{hint}"
        )
    if model.conditional and not data.classes and data.train_size is not None:
        return f"model '{model.name}' needs labels, dataset '{data.name}' has none"
    if recipe["precision"] == "tf32" and identity.device == "cpu":
        return "precision tf32 is one of NVIDIA GPUs: on a CPU use fp32 or bf16"
    if recipe["best_metric"] and recipe["best_metric"] not in identity.metrics:
        return f"best_metric '{recipe['best_metric']}' is not measured of '{model.name}' on '{data.name}'"
    batch_size = recipe["batch_size"]
    if data.train_size is not None and isinstance(batch_size, int) and batch_size > data.train_size:
        return (
            f"batch_size {batch_size} is larger than the {data.train_size} training images of '{data.name}'; "
            f"use --batch-size {data.train_size} or less"
        )
    return why_not(recipe)


def _dataset(text: str, request: Request, catalogue: Catalogue) -> _Dataset:
    name, colon, argument = text.partition(":")
    entry = catalogue.require("datasets", name)
    spec: DatasetSpec = entry.spec
    given = own_settings(request.set, spec)
    if colon and spec.argument is None:
        raise UsageError(f"Dataset '{name}' takes nothing behind a colon.", f"Write {name} instead of {text}.")
    if spec.argument is not None and colon:
        given[spec.argument] = argument
    choice = _choice(entry, given)
    if spec.argument is not None and not choice.options[spec.argument]:
        raise UsageError(f"Dataset '{name}' needs its {spec.argument}.", f"Write {name}:{spec.argument.upper()}.")
    require_folders(spec.option_schema, choice.options, name)
    return _Dataset(entry, choice, spec.shape(choice.options))


def _default_loss(model: Entry[ModelSpec], catalogue: Catalogue) -> Entry[LossSpec]:
    try:
        entry: Entry[LossSpec] = catalogue.require("losses", model.spec.default_loss)
    except UsageError as error:
        cause = f"The default loss of the model '{model.spec.name}' is missing. {error.cause}"
        raise UsageError(cause, f"Choose another with --losses. {error.cure}") from None
    return entry


def _metrics(request: Request, catalogue: Catalogue, profile: Profile) -> list[MetricSpec]:
    if request.metrics is None:
        chosen = [entry.spec for entry in catalogue.metrics.values() if entry.spec.default]
        extra = [catalogue.metrics[name].spec for name in profile.extra_metrics if name in catalogue.metrics]
        return [*chosen, *(spec for spec in extra if spec not in chosen)]
    found: list[MetricSpec] = []
    for name in request.metrics:
        if name in PREFIXES:
            extractors = [entry.spec for entry in catalogue.extractors.values()]
            found += [catalogue.require("metrics", full).spec for full in with_prefix(name, extractors)]
        elif name == LIKELIHOOD:
            found += [entry.spec for entry in catalogue.metrics.values() if entry.spec.needs_bound]
        else:
            found.append(catalogue.require("metrics", name).spec)
    return list(dict.fromkeys(found))


def _cell_metrics(metrics: Sequence[MetricSpec], family: FamilySpec | None, dataset: DatasetSpec) -> tuple[str, ...]:
    if dataset.synthetic or family is None:
        return ()
    return tuple(
        spec.name
        for spec in metrics
        if (family.reconstructs or not spec.needs_reconstruction)
        and (not dataset.points or not spec.needs_pictures)
        and (dataset.modes is not None or not spec.needs_modes)
        and (family.bounds or not spec.needs_bound)
        and (dataset.factors or not spec.needs_factors)
    )


def _references(cells: Iterable[PlannedCell]) -> list[PlannedReference]:
    """Return one reference per dataset and sample count, with every metric that its cells measure."""
    found: dict[str, PlannedReference] = {}
    for cell in cells:
        identity = cell.identity
        samples = identity.recipe["samples"]
        if not identity.metrics or not isinstance(samples, int):
            continue
        key = reference_id(identity.dataset, samples)
        known = found[key].metrics if key in found else ()
        found[key] = PlannedReference(
            id=key,
            dataset=identity.dataset,
            image_shape=identity.image_shape,
            metrics=tuple(dict.fromkeys((*known, *identity.metrics))),
            samples=samples,
        )
    return list(found.values())


def names_in_use(identity: CellIdentity) -> list[tuple[Kind, str]]:
    """Return everything that a cell uses, by kind and name."""
    return [
        ("families", identity.family.name),
        ("models", identity.model.name),
        ("losses", identity.loss.name),
        ("datasets", identity.dataset.name),
        *(("metrics", name) for name in identity.metrics),
    ]


def third_party_plugins(catalogue: Catalogue, cells: Iterable[PlannedCell]) -> list[Plugin]:
    """Return the plugins, beyond the built-in ones, that the possible cells need: a worker loads no others."""
    needed: dict[tuple[str, str], Plugin] = {}
    for cell in cells:
        if not cell.reason:
            for kind, name in names_in_use(cell.identity):
                plugin = catalogue.require(kind, name).plugin
                if plugin.origin != "builtin":
                    needed[plugin.name, plugin.target] = plugin
    return list(needed.values())


def _warnings(catalogue: Catalogue, cells: Iterable[PlannedCell]) -> list[str]:
    """Return a warning for each name in use that a quarantined plugin claims too, and for files that are quarantined.

    What was named may have been meant to come from there.
    """
    named = {used for cell in cells for used in names_in_use(cell.identity)}
    files = [plugin for plugin in catalogue.plugins if plugin.origin == "file" and plugin.quarantined]
    return [f"nothing is used of the {file.explanation}" for file in files if not file.registers] + [
        f"'{name}' is also registered by the {rival.explanation}"
        for kind, name in sorted(named)
        if name in catalogue.entries(kind)
        for rival in catalogue.quarantined_claims(kind, name)
    ]
