"""The best settings of a tuning as plans that `genbench run --config` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genbench.api.options import OptionValue
from genbench.planning.request import Request
from genbench.planning.search_space import settings_of_point
from genbench.planning.settings import Settings, merged
from genbench.results.toml_text import toml_document
from genbench.tuning.trial_cells import TunedModel

Points = Mapping[str, Mapping[str, OptionValue]]  # model -> dimension -> value


def best_plans(request: Request, models: Sequence[TunedModel], points: Points, seeds: Sequence[int]) -> dict[str, str]:
    """Return the text of each file by its name: one for all models, or one for each if they differ in a shared loss."""
    tuned = [one for one in models if one.model in points]
    settings = {one.model: settings_of_point(one.space, points[one.model]) for one in tuned}
    shared: dict[str, dict[str, OptionValue]] = {}
    for own in settings.values():
        for owner, table in own.items():
            for option, value in table.items():
                if shared.setdefault(owner, {}).setdefault(option, value) != value:
                    return {
                        f"best-{model}.toml": _plan(request, [model], one, seeds) for model, one in settings.items()
                    }
    return {"best.toml": _plan(request, list(settings), shared, seeds)}


def _plan(request: Request, models: Sequence[str], settings: Settings, seeds: Sequence[int]) -> str:
    plan: dict[str, Any] = {"models": models}
    for name in ("losses", "metrics", "plugins"):
        if value := getattr(request, name):
            plan[name] = value
    plan |= {"datasets": request.datasets, "profile": request.profile}
    if request.device != "auto":
        plan["device"] = request.device
    if seeds:
        plan["seeds"] = seeds
    plan |= {name: value for name, value in request.recipe.items() if value is not None}
    plan |= {name: getattr(request, name) for name in ("precision", "nproc") if getattr(request, name)}
    plan["set"] = {name: table for name, table in merged(request.set, settings).items() if table}
    return toml_document(plan)
