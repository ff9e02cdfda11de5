"""The cells of trials: each is one of the run in ``trials/``, planned as any other, on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from genbench.api.options import OptionValue
from genbench.errors import UsageError
from genbench.planning.identity import cell_id
from genbench.planning.planner import Planner
from genbench.planning.request import Request
from genbench.planning.search_space import Dimension, Space, settings_of_point
from genbench.planning.settings import Settings, merged
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import PlannedCell


@dataclass(frozen=True)
class TunedModel:
    """A model of a tuning, with the loss that it is trained with."""

    model: str
    loss: str
    space: Space


class TrialPlanner:
    """Plans cells of one tuning; `request` is what all of them share, with every model."""

    def __init__(
        self,
        request: Request,
        models: Iterable[TunedModel],
        metric: str,
        catalogue: Catalogue,
        make_planner: Callable[[Request], Planner],
    ) -> None:
        self.request, self.metric, self.catalogue, self._make_planner = request, metric, catalogue, make_planner
        self._names = {name for one in models for name in (one.model, one.loss)}

    def trial_cell(self, tuned: TunedModel, point: Mapping[str, OptionValue], images: int, seed: int) -> PlannedCell:
        """Return the cell of a trial; if the settings do not go together, it has a reason.

        It is trained on nine tenths of the training images; what the metric takes for held-out images is the other
        tenth. Raises `UsageError` for invalid values.
        """
        request = self._request_of(tuned, point, (seed,), metrics=(self.metric,))
        recipe = {"energy_seconds": 0.0, **request.recipe, "images": images}
        (cell,) = self._make_planner(replace(request, recipe=recipe, target=())).cells()[0]
        return _on_validation_data(cell)

    def final_cells(
        self, tuned: TunedModel, point: Mapping[str, OptionValue], seeds: Iterable[int]
    ) -> list[PlannedCell]:
        """Return the cells of the best settings of a model, with the metrics of the request."""
        request = self._request_of(tuned, point, tuple(seeds), metrics=self.request.metrics)
        return self._make_planner(request).cells()[0]

    def require_possible(self, tuned: TunedModel, dimension: Dimension, images: int) -> None:
        """Raise `UsageError` if an end of a range, or a choice, is impossible with the usual values of all others."""
        for value in dimension.values.ends:
            try:
                reason = self.trial_cell(tuned, {dimension.name: value}, images, 0).reason
            except UsageError as error:
                reason = error.cause.removesuffix(".")
            if reason:
                raise UsageError(
                    f"The search space of '{tuned.model}' is impossible at {dimension.name} = {value}: {reason}.",
                    "Remove this value, or narrow the range.",
                    code="GB110",
                )

    def _request_of(
        self,
        tuned: TunedModel,
        point: Mapping[str, OptionValue],
        seeds: tuple[int, ...],
        metrics: tuple[str, ...] | None,
    ) -> Request:
        settings = settings_of_point(tuple(one for one in tuned.space if one.name in point), point)
        return replace(
            self.request,
            models=(tuned.model,),
            losses=(tuned.loss,),
            seeds=seeds,
            metrics=metrics,
            set=merged(self._own_settings(tuned, metrics), settings),
        )

    def _own_settings(self, tuned: TunedModel, metrics: tuple[str, ...] | None) -> Settings:
        """Return the fixed settings without those of other models and losses, and of metrics that are not measured."""
        foreign = self._names - {tuned.model, tuned.loss}
        measured = () if metrics is None else metrics
        found = {}
        for name, table in self.request.set.items():
            bare = name.rpartition(":")[2]
            unmeasured = (
                metrics is not None
                and self._is_metric(bare)
                and not any(one == bare or one.startswith(f"{bare}-") for one in measured)
            )
            if bare not in foreign and not unmeasured:
                found[name] = table
        return found

    def _is_metric(self, name: str) -> bool:
        known = self.catalogue.metrics
        return name in known or any(metric.startswith(f"{name}-") for metric in known)


def _on_validation_data(cell: PlannedCell) -> PlannedCell:
    identity = structs.replace(cell.identity, dataset=structs.replace(cell.identity.dataset, split="validation"))
    return structs.replace(cell, id=cell_id(identity), identity=identity)
