"""The planner: expands a request into a plan of cells, with a reason for each cell that is impossible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, structs

from genbench import __version__
from genbench.api.options import OptionValue, resolve_options
from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import ConfigurableSpec, LossSpec, MetricSpec, ModelSpec
from genbench.errors import UsageError
from genbench.planning.dataset_choice import ChosenDataset, choose_dataset
from genbench.planning.feasibility import infeasibility_reason, missing_family_reason
from genbench.planning.identity import IDENTITY_VERSION, cell_id, metric_origins, origin, reference_id
from genbench.planning.metric_selection import MetricSelection, applicable_metrics
from genbench.planning.plugin_files import require_usable_files
from genbench.planning.process_counts import require_divisible_batch
from genbench.planning.profiles import Profile, find_profile
from genbench.planning.race_request import make_races
from genbench.planning.remedies import check_remedies, initial_hash
from genbench.planning.request import Request, Variant
from genbench.planning.samplers import check_samplers, choose_samplers
from genbench.planning.settings import (
    Settings,
    check_settings,
    chosen_latent_dim,
    merged,
    own_settings,
    recipe_settings,
)
from genbench.planning.sweep import Axes, Point, columns_of, moderate_size, points, sizes, split_settings
from genbench.planning.targets import Directions, Estimates, check_targets, make_targets, with_evaluations
from genbench.plugins.catalogue import Catalogue, Entry
from genbench.plugins.chosen_metrics import options_of
from genbench.plugins.loader import Kind, Plugin
from genbench.plugins.metric_names import FeatureMetric, estimate_directions
from genbench.results.identity_settings import settings_by_name
from genbench.results.schema import CellIdentity, Choice, PlannedCell, PlannedRace, PlannedReference, Target


@dataclass(frozen=True)
class Plan:
    """The cells of a run, in the order of execution, and what goes with them."""

    profile: Profile
    cells: list[PlannedCell]
    references: list[PlannedReference]
    plugins: list[Plugin]  # third-party plugins that the cells need
    warnings: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)  # settings with several values, under their names in tables
    races: list[PlannedRace] = field(default_factory=list)

    @property
    def possible(self) -> list[PlannedCell]:
        """The cells to execute."""
        return [cell for cell in self.cells if not cell.reason]


@dataclass(frozen=True)
class _Variant:
    name: str  # empty: the plan has no variants
    recipe: Mapping[str, OptionValue]  # from the plan, with one precision and number of processes, and from the variant
    settings: Settings  # given with --set, from the plan and from the variant
    of_plan: Settings  # those from the plan


def make_plan(request: Request, catalogue: Catalogue, device: str, inception_at_hand: bool = False) -> Plan:
    """Expand models × losses × datasets × variants × sweep × seeds into cells for a type of device, such as 'cpu'.

    `inception_at_hand` says whether the Inception weights are on this machine: the default distance depends on it.
    Raises `UsageError` for an unknown name, an unknown or invalid option, or a request without a possible cell.
    """
    return Planner(request, catalogue, device, inception_at_hand).plan()


class Planner:
    """Expands one request. What all cells share is determined once, in the constructor."""

    def __init__(self, request: Request, catalogue: Catalogue, device: str, inception_at_hand: bool = False) -> None:
        self.request, self.catalogue, self.device = request, catalogue, device
        self.profile = find_profile(request.profile)
        models: list[Entry[ModelSpec]] = [catalogue.require("models", name) for name in request.models]
        losses: list[Entry[LossSpec]] = [catalogue.require("losses", name) for name in request.losses]
        self.pairs = [(model, loss) for model in models for loss in losses or [_default_loss(model, catalogue)]]
        self.selection = MetricSelection(request.metrics, catalogue, device, inception_at_hand, self.profile)
        self.directions: Directions = {name: entry.spec.direction for name, entry in catalogue.metrics.items()}
        self.estimates: Estimates = {
            name: found for name, entry in catalogue.metrics.items() if (found := estimate_directions(entry.spec))
        }
        dataset_specs = [catalogue.require("datasets", text.partition(":")[0]).spec for text in request.datasets]
        self._used: list[ConfigurableSpec] = [*(entry.spec for pair in self.pairs for entry in pair), *dataset_specs]
        settings, of_options = split_settings(request.set, self._used)
        axes: dict[str, Sequence[OptionValue]] = {
            "precision": request.precision,
            "nproc": request.nproc,
            **request.sweep,
            **of_options,
        }
        self.axes: Axes = {name: values for name, values in axes.items() if values}
        self.size = self._size()
        self.variants = _variants(request, settings, points(self.axes, request.zip))
        self._chosen: dict[tuple[str, str], ChosenDataset] = {}
        # Of model, loss, variant and metrics: the seed changes none. The variant is kept, so that its id stays its own.
        self._recipes: dict[tuple[str, str, int, tuple[str, ...]], tuple[Recipe, _Variant]] = {}
        self._usual: dict[tuple[str, str, str], dict[str, OptionValue]] = {}  # settings without changes of the request
        self.metrics = self._metrics_of_all()
        measured = [metric.name for metric in self.metrics]
        self.targets = make_targets(request.target, measured, self.directions, self.estimates)
        self._check_settings()
        families = {model.spec.family for model in models} & {*catalogue.families}
        check_samplers(request.samplers, [catalogue.families[name].spec for name in sorted(families)])
        self.metric_options = options_of(self.metrics, request.set)

    def plan(self) -> Plan:
        """Return the plan; raise `UsageError` if no cell is possible."""
        cells, notes = self.cells()
        possible = [cell for cell in cells if not cell.reason]
        if not possible:
            raise _nothing_possible(cells)
        check_targets(self.targets, possible, self.estimates)
        self._require_usable_files(cells)
        swept, measured = columns_of(self.axes), [metric.name for metric in self.metrics]
        return Plan(
            profile=self.profile,
            cells=cells,
            references=[self._with_reasons(reference) for reference in plan_references(possible)],
            plugins=third_party_plugins(self.catalogue, possible),
            warnings=[*filter(None, [self.size]), *_warnings(self.catalogue, cells), *notes],
            swept=swept,
            targets=self.targets,
            races=make_races(self.request.race, cells, self.request.seeds, measured, self.directions, swept),
        )

    def _metrics_of_all(self) -> list[MetricSpec]:
        """Return the metrics of all datasets, each once."""
        datasets = [self._dataset(text, variant) for text in self.request.datasets for variant in self.variants]
        found = [spec for one in datasets for spec in self.selection.of_dataset(one.spec, one.image_shape)]
        return list({spec.name: spec for spec in found}.values())

    def _with_reasons(self, reference: PlannedReference) -> PlannedReference:
        """Return it with the reasons for the extractors that its data chose and its metrics use."""
        dataset = self.catalogue.require("datasets", reference.dataset.name).spec
        specs = [self.catalogue.metrics[name].spec for name in reference.metrics]
        used = {spec.extractor for spec in specs if isinstance(spec, FeatureMetric)}
        chosen = self.selection.extractors(dataset, reference.image_shape)
        reasons = {name: reason for name, reason in chosen.items() if reason and name in used}
        return structs.replace(reference, extractor_reasons=reasons or UNSET)

    def cells(self) -> tuple[list[PlannedCell], list[str]]:
        """Return every cell, also those that are impossible, and notes on cells that the request names twice."""
        return _unique_cells(
            self._cell(model, loss, self._dataset(text, variant), variant, seed)
            for text in self.request.datasets
            for model, loss in self.pairs
            for variant in self.variants
            for seed in self.request.seeds
        )

    def _require_usable_files(self, cells: Sequence[PlannedCell]) -> None:
        """Raise `UsageError` if a plugin file that could not be loaded was given for something in the plan."""
        request = self.request
        asked = (*request.models, *request.losses, *request.datasets, *(request.metrics or ()), *request.reporters)
        around: list[tuple[Kind, str]] = [("executors", request.executor)]
        around += [("reporters", name) for name in request.reporters]
        used = [*around, *(use for cell in cells for use in names_in_use(cell.identity))]
        require_usable_files(self.catalogue, used, asked)

    def _check_settings(self) -> None:
        """Raise `UsageError` for an option that nothing in the plan, or in the variant that sets it, declares."""
        models_and_losses: list[ConfigurableSpec] = [entry.spec for pair in self.pairs for entry in pair]
        reporters = [self.catalogue.require("reporters", name).spec for name in self.request.reporters]
        executor = self.catalogue.require("executors", self.request.executor).spec
        check_settings(self.request.set, [*self._used, *self.metrics, *reporters, executor], self.catalogue)
        for text in self.request.datasets:
            for variant in self.variants:
                self._dataset(text, variant)
        for variant in self.variants:
            with _naming(variant):  # datasets are excluded: all variants load the same data
                own = self.request.variants[variant.name].set if variant.name else {}
                check_settings(own, models_and_losses, self.catalogue)

    def _dataset(self, text: str, variant: _Variant) -> ChosenDataset:
        """Return a dataset with the options that the plan sets, without those of variants: they load the same data."""
        spec = self.catalogue.require("datasets", text.partition(":")[0]).spec
        key = text, repr(own_settings(variant.of_plan, spec))
        if key not in self._chosen:
            self._chosen[key] = choose_dataset(text, variant.of_plan, self.catalogue)
        return self._chosen[key]

    def _size(self) -> str:
        """Return a note on the number of cells, if it is large; raise `UsageError` if it is too large."""
        request = self.request
        parts = {
            "datasets": len(request.datasets), "models and losses": len(self.pairs), "variants": len(request.variants),
            **sizes(self.axes, request.zip), "seeds": len(request.seeds),
        }  # fmt: skip
        return moderate_size(parts)

    def _cell(
        self, model: Entry[ModelSpec], loss: Entry[LossSpec], dataset: ChosenDataset, variant: _Variant, seed: int
    ) -> PlannedCell:
        spec, catalogue = model.spec, self.catalogue
        selected = self.selection.of_dataset(dataset.spec, dataset.image_shape)
        measured = [] if dataset.spec.synthetic else [metric.name for metric in selected]
        recipe = self._recipe(spec, loss.spec, variant, measured)
        family = catalogue.families.get(spec.family)
        metrics = applicable_metrics(selected, family.spec if family else None, dataset.spec)
        with _naming(variant):
            init_hash = initial_hash(recipe)
        identity = CellIdentity(
            identity_version=IDENTITY_VERSION,
            model=_choice(model, own_settings(variant.settings, spec)),
            family=Choice(name=spec.family, origin=origin(family.plugin if family else model.plugin)),
            loss=_choice(loss, own_settings(variant.settings, loss.spec)),
            dataset=dataset.choice,
            image_shape=dataset.image_shape,
            latent_dim=chosen_latent_dim(variant.settings, spec, dataset.image_shape),
            recipe=recipe.settings,
            device=self.device,
            seed=seed,
            metrics=metrics,
            metric_origins=metric_origins(metrics, catalogue) or UNSET,
            metric_options={name: self.metric_options[name] for name in metrics if name in self.metric_options}
            or UNSET,
            init_hash=init_hash,
            genbench=__version__,
        )
        if family is None:
            reason = missing_family_reason(spec, catalogue)
        else:
            reason = infeasibility_reason(spec, loss.spec, family.spec, dataset.spec, identity, recipe, self.estimates)
        return PlannedCell(
            id=cell_id(identity),
            identity=identity,
            variant=variant.name,
            changed=self._changed(identity, model, loss, dataset),
            reason=reason,
            synthetic_data=dataset.spec.synthetic,
            samplers=choose_samplers(self.request.samplers, family.spec) if family and metrics else [],
        )

    def _changed(
        self, identity: CellIdentity, model: Entry[ModelSpec], loss: Entry[LossSpec], dataset: ChosenDataset
    ) -> list[str]:
        """Return the settings whose values the request changes, under their names in tables."""
        key = model.spec.name, loss.spec.name, repr(dataset.choice)
        if key not in self._usual:
            self._usual[key] = self._usual_settings(identity, model, loss, dataset)
        before = self._usual[key]
        return [name for name, value in settings_by_name(identity).items() if value != before[name]]

    def _usual_settings(
        self, identity: CellIdentity, model: Entry[ModelSpec], loss: Entry[LossSpec], dataset: ChosenDataset
    ) -> dict[str, OptionValue]:
        """Return the settings that model, loss, dataset and profile have by themselves, under their names in tables."""
        defaults = resolve_options(dataset.spec.option_schema, {}, dataset.spec.name)
        usual = structs.replace(
            identity,
            model=_choice(model, {}),
            loss=_choice(loss, {}),
            dataset=structs.replace(dataset.choice, options=defaults),
            latent_dim=chosen_latent_dim({}, model.spec, dataset.image_shape),
            recipe=resolve_recipe(
                model.spec.recipe, loss.spec.recipe, self.profile.recipe, owner=model.spec.name
            ).settings,
        )
        return settings_by_name(usual)

    def _recipe(self, model: ModelSpec, loss: LossSpec, variant: _Variant, measured: Sequence[str]) -> Recipe:
        """Return the recipe from model, loss, profile and request, each overriding the previous ones."""
        key = model.name, loss.name, id(variant), tuple(measured)
        if key in self._recipes:
            return self._recipes[key][0]
        own = recipe_settings(variant.settings, model)
        recipe = resolve_recipe(model.recipe, loss.recipe, self.profile.recipe, variant.recipe, own, owner=model.name)
        if self.targets and measured:
            recipe = with_evaluations(recipe)
        with _naming(variant):
            check_remedies(recipe, measured, self.directions, self.estimates)
            require_divisible_batch(recipe)
        self._recipes[key] = recipe, variant
        return recipe


def _variants(request: Request, settings: Settings, points: Sequence[Point]) -> list[_Variant]:
    """Return every variant, applied over the plan's own settings, at each point of the sweep."""
    found = []
    for name, variant in (request.variants or {"": Variant()}).items():
        for point in points:
            of_plan = merged(settings, point.settings)
            recipe = {**request.recipe, **point.recipe, **variant.recipe}
            found.append(_Variant(name, recipe, merged(of_plan, variant.set), of_plan))
    return found


def _unique_cells(cells: Iterable[PlannedCell]) -> tuple[list[PlannedCell], list[str]]:
    """Return each cell once, under the first variant that contains it, and notes on the duplicates."""
    first: dict[str, PlannedCell] = {}
    notes: dict[str, None] = {}
    for cell in cells:
        kept = first.setdefault(cell.id, cell)
        if kept.variant != cell.variant:
            same = f"variant '{cell.variant}' of '{cell.identity.model.name}' has the same recipe as '{kept.variant}'"
            notes[f"{same}: measured once, as '{kept.variant}'"] = None
    return list(first.values()), list(notes)


@contextmanager
def _naming(variant: _Variant) -> Iterator[None]:
    """Name the variant in errors raised inside."""
    try:
        yield
    except UsageError as error:
        if not variant.name:
            raise
        raise UsageError(f"Variant '{variant.name}': {error.cause}", error.cure, code=error.code) from None


def _nothing_possible(cells: Sequence[PlannedCell]) -> UsageError:
    reasons = "\n".join(
        f"  {cell.identity.model.name} × {cell.identity.loss.name}"
        f"{f' × {cell.variant}' if cell.variant else ''}: {cell.reason}"
        for cell in cells
    )
    which = "The requested cell is not" if len(cells) == 1 else f"None of the {len(cells)} requested cells is"
    return UsageError(f"{which} possible.", reasons, code="GB106")


def _choice(entry: Entry[Any], given: Mapping[str, OptionValue]) -> Choice:
    options = resolve_options(entry.spec.option_schema, given, entry.spec.name)
    return Choice(name=entry.spec.name, options=options, origin=origin(entry.plugin))


def _default_loss(model: Entry[ModelSpec], catalogue: Catalogue) -> Entry[LossSpec]:
    try:
        entry: Entry[LossSpec] = catalogue.require("losses", model.spec.default_loss)
    except UsageError as error:
        cause = f"The default loss of the model '{model.spec.name}' is missing. {error.cause}"
        raise UsageError(cause, f"Choose another with --losses. {error.cure}", code=error.code) from None
    return entry


def plan_references(cells: Iterable[PlannedCell]) -> list[PlannedReference]:
    """Return reference rows to measure, one per dataset and sample count, with every metric that its cells measure."""
    found: dict[str, PlannedReference] = {}
    for cell in cells:
        identity = cell.identity
        if not identity.metrics:
            continue
        samples = resolve_recipe(identity.recipe).samples
        key = reference_id(identity.dataset, samples)
        known = found.get(key)
        metrics = tuple(dict.fromkeys((*(known.metrics if known else ()), *identity.metrics)))
        origins = {**((known.metric_origins if known else None) or {}), **(identity.metric_origins or {})}
        options = {**((known.metric_options if known else None) or {}), **(identity.metric_options or {})}
        found[key] = PlannedReference(
            id=key,
            dataset=identity.dataset,
            image_shape=identity.image_shape,
            metrics=metrics,
            metric_origins=origins or UNSET,
            metric_options=options or UNSET,
            samples=samples,
        )
    return list(found.values())


def names_in_use(identity: CellIdentity) -> list[tuple[Kind, str]]:
    """Return the kind and name of everything that a cell uses."""
    return [
        ("families", identity.family.name),
        ("models", identity.model.name),
        ("losses", identity.loss.name),
        ("datasets", identity.dataset.name),
        *(("metrics", name) for name in identity.metrics),
    ]


def third_party_plugins(catalogue: Catalogue, cells: Iterable[PlannedCell]) -> list[Plugin]:
    """Return the third-party plugins that the possible cells need."""
    return plugins_behind(catalogue, [use for cell in cells if not cell.reason for use in names_in_use(cell.identity)])


def plugins_behind(catalogue: Catalogue, names: Iterable[tuple[Kind, str]]) -> list[Plugin]:
    """Return the third-party plugins that register these kinds and names; a worker loads no others."""
    found = [plugin for kind, name in names for plugin in catalogue.require(kind, name).plugins]
    return list({(plugin.name, plugin.target): plugin for plugin in found if plugin.origin != "builtin"}.values())


def _warnings(catalogue: Catalogue, cells: Iterable[PlannedCell]) -> list[str]:
    """Return warnings about quarantined plugins: files, and those that register a name that the plan uses.

    The user may have meant the thing that such a plugin registers.
    """
    named = {used for cell in cells for used in names_in_use(cell.identity)}
    files = [plugin for plugin in catalogue.plugins if plugin.origin == "file" and plugin.quarantined]
    return [f"nothing is used of the {file.explanation}" for file in files] + [
        f"'{name}' is also registered by the {rival.explanation}"
        for kind, name in sorted(named)
        if name in catalogue.entries(kind)
        for rival in catalogue.quarantined_claims(kind, name)
    ]
