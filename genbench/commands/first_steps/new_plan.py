"""`genbench.new_plan`: a commented plan file, and a workflow that guards the speed of its models."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.commands.arguments import PluginSource, names_of, plugin_paths
from genbench.errors import UsageError
from genbench.planning.planner import make_plan
from genbench.planning.profiles import PROFILES, find_profile
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.results.toml_text import toml_text

MODELS, DATASETS, PROFILE = "gan,dcgan,vae", "fashion-mnist-mini", "quick"
WORKFLOW = Path(".github/workflows/genbench.yml")

_PLAN = """\
# A comparison for genbench. What it would run, and how long that takes:  genbench run --config {path} --dry-run
# Every flag of `genbench run` can stand here, under the same name with underscores.

models = [{models}]  # genbench list models
{losses}datasets = [{datasets}]  # genbench list datasets; "folder:PATH" for your own images
seeds = [{seeds}]  # one cell each; three or more show how much of a difference is luck
profile = {profile}  # {summary}
{plugins}
# batch_size = 64         # the same for every model; without it, that of the profile or the model
# learning_rate = [1e-4, 2e-4]  # several values: one cell for each
# evaluate_every = 10000  # images between two measurements during training
# precision = "bf16"

# [set.{model}]            # options of one model: genbench list models -v
# latent_dim = 64

# [variants.averaged]     # a named recipe, as one more axis of the comparison
# ema_half_life = 10_000
"""

_WORKFLOW = """\
# Compares the training speed of every pull request with that of its base, on one runner.
# Replace OWNER by the owner of genbench's repository. What the verdicts mean: docs/ci.md there.
on: pull_request
permissions: {{contents: read, pull-requests: write}}
jobs:
  gate:
    runs-on: ubuntu-latest
    steps:
      - {{uses: actions/checkout@v4, with: {{fetch-depth: 2}}}}
      - {{uses: actions/setup-python@v5, with: {{python-version: "3.12"}}}}
      - run: pip install genbench .
      - uses: OWNER/genbench@main
        with:
          models: {models}
"""


@dataclass(frozen=True)
class NewPlan:
    """The files that were written; printed, it says what to do next."""

    plan: Path
    workflow: Path | None
    cells: int  # of the plan that can run

    def __str__(self) -> str:
        path = shlex.quote(str(self.plan))
        count = f"{self.cells} cell{'s' * (self.cells != 1)}"
        lines = [f"{self.plan} describes a comparison of {count}. Next:", ""]
        lines += [f"    genbench run --config {path} --dry-run    # what runs, and how long that takes"]
        lines += [f"    genbench run --config {path}"]
        lines += [] if self.workflow is None else ["", f"{self.workflow} is a gate; put your OWNER into it."]
        return "\n".join(lines) + "\n"


def new_plan(
    path: str | Path = "plan.toml",
    *,
    models: str | Sequence[str] = MODELS,
    losses: str | Sequence[str] = (),
    datasets: str | Sequence[str] = DATASETS,
    seeds: str | Sequence[int] = (0,),
    profile: str = PROFILE,
    gate: bool = False,
    plugins: PluginSource | Sequence[PluginSource] = (),
) -> NewPlan:
    """Write a commented plan file, as `genbench init`.

    Raises `UsageError` for unknown names, a plan of which nothing can run, and files that exist or cannot be written.

    Args:
        path: the new file.
        models: names, as in `genbench run`; the other arguments likewise.
        losses: empty for each model's own.
        datasets: names, and ``folder:PATH`` for images of your own.
        seeds: one cell each.
        profile: ``smoke``, ``quick``, ``standard`` or ``full``.
        gate: also write `.github/workflows/genbench.yml`, which compares the speed of pull requests.
        plugins: plugin files that the plan needs.
    """
    path, files = Path(path), plugin_paths(plugins)
    chosen = {"models": names_of(models), "losses": names_of(losses), "datasets": names_of(datasets)}
    seeds = seeds if isinstance(seeds, str) else ",".join(map(str, seeds))
    request = make_request({**{key: own or None for key, own in chosen.items()}, "seeds": seeds, "profile": profile})
    plan = make_plan(request, discover(files), "cpu")
    text = _PLAN.format(
        path=shlex.quote(str(path)),
        models=_quoted(chosen["models"]),
        losses=f"losses = [{_quoted(chosen['losses'])}]\n" if chosen["losses"] else "",
        datasets=_quoted(chosen["datasets"]),
        seeds=", ".join(map(str, request.seeds)),
        profile=toml_text(profile),
        summary=find_profile(profile).summary,
        plugins=f"plugins = [{_quoted(files)}]\n" if files else "",
        model=chosen["models"][0],
    )
    workflow = WORKFLOW if gate else None
    contents = {path: text} | ({workflow: _WORKFLOW.format(models=",".join(chosen["models"]))} if workflow else {})
    _write(contents)
    return NewPlan(path, workflow, len(plan.possible))


def questions() -> dict[str, tuple[str, str]]:
    """Return what `genbench init` asks on a terminal: the question and the default of each argument of `new_plan`."""
    return {
        "models": ("Models, with commas (`genbench list models` shows all)", MODELS),
        "datasets": ("Dataset, or folder:PATH for your own images", DATASETS),
        "profile": (f"Budget ({'; '.join(f'{p.name}: {p.summary}' for p in PROFILES.values())})", PROFILE),
        "seeds": ("Seeds, with commas; three or more show what is luck", "0,1,2"),
    }


def _write(contents: dict[Path, str]) -> None:
    for path in contents:
        if path.exists():
            raise UsageError(f"{path} exists.", "Remove it, or choose another name for the plan.", code="GB706")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(toml_text, names))
