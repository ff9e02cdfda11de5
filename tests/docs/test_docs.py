"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import warm

from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA, resolve_recipe
from genbench.cli import COMMANDS
from genbench.errors import ExitCode
from genbench.planning.profiles import PROFILES
from genbench.planning.request import make_request, read_config
from genbench.plugins.catalogue import discover
from genbench.plugins.loader import SPEC_TYPES, Kind
from genbench.results.schema import STATUSES, CellResult

ROOT = Path(__file__).parents[2]
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
FAMILIES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "models").glob("*.md")}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("kind", list(SPEC_TYPES))
def test_every_hook_and_its_spec_are_documented(kind: str) -> None:
    assert f"`genbench_{kind}`" in DOCS["plugins"]
    assert f"`{SPEC_TYPES[kind].__name__}`" in DOCS["plugins"]  # type: ignore[index]


def test_every_status_and_exit_code_is_documented() -> None:
    assert all(f"| `{status}` |" in DOCS["running"] for status in STATUSES)
    assert all(f"| {int(code)} |" in DOCS["running"] for code in ExitCode)


def test_every_metric_is_documented_with_its_direction() -> None:
    catalogue = discover()
    for name, entry in catalogue.metrics.items():
        if entry.plugin.origin == "builtin":
            general = next(
                (name.replace(f"-{e}", "-<extractor>") for e in catalogue.extractors if name.endswith(f"-{e}")), name
            )
            stated = DOCS["metrics"]
            assert (
                any(f"| `{row}` | {entry.spec.direction} |" in stated for row in (name, general))
                or f"`{name}`" in stated
            )


def rows(text: str) -> dict[str, str]:
    """Return the rows of all tables by the name in their first cell."""
    return {found[1]: found[0] for found in re.finditer(r"^\| `([^`]+)` \|.*$", text, flags=re.MULTILINE)}


def stated_settings(row: str) -> dict[str, float | str]:
    """Return the recipe fields that a row names, with the number or word behind each."""
    pairs = [(name, value) for name, value in re.findall(r"`(\w+)` ([\w.]+)", row) if name in RECIPE_FIELDS]
    return {name: float(value) if value[0].isdigit() else value for name, value in pairs}


def cited(text: str) -> set[str]:
    return set(re.findall(r"arXiv:[\d.]*\d", text))


def built_in(kind: Kind) -> list[Any]:
    entries = discover().entries(kind)
    return [entry.spec for entry in entries.values() if entry.plugin.origin == "builtin"]


def test_every_model_has_a_row_with_its_sizes_default_loss_recipe_and_paper() -> None:
    usual = {"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "discriminator_steps": 1}
    assert usual.items() <= resolve_recipe().settings.items()
    for family in built_in("families"):
        section = FAMILIES[family.name].split("\n## Models\n", maxsplit=1)[1].split("\n#")[0]
        for model in (model for model in built_in("models") if model.family == family.name):
            _, _, sizes, latents, what, loss, recipe, paper, _ = rows(section)[model.name].split("|")
            expected = ", ".join(str(size) for size in dict.fromkeys(s[1] for s in model.image_shapes or ()))
            assert sizes.strip() == (expected or "any"), model.name
            assert latents.split()[0].rstrip(",") == str(model.latent_dim), model.name
            assert ("uniform" in latents) == (model.prior == "uniform"), model.name
            assert ("conditional" in what) == model.conditional, model.name
            assert loss.strip() == f"`{model.default_loss}`", model.name
            assert stated_settings(recipe) == dict(model.recipe.items() - usual.items()), model.name
            assert cited(model.paper) & cited(paper), model.name


def test_every_loss_has_a_row_with_its_options_defaults_recipe_and_source() -> None:
    shared = {"likelihood", "sigma"}
    sections = {name: page.split("\n## Losses\n", maxsplit=1)[1].split("\n## ")[0] for name, page in FAMILIES.items()}
    found = {name: rows(section) for name, section in sections.items()}
    defaults = {
        loss.name: {option.name: option.default for option in loss.option_schema} for loss in built_in("losses")
    }
    for loss in built_in("losses"):
        row = found[loss.family][loss.name]
        own = {name: value for name, value in defaults[loss.name].items() if name not in shared}
        inherited = defaults["elbo"] if "those of `elbo`" in row else {}
        for name, value in own.items():
            if name not in inherited or inherited[name] != value:
                shown = f"`{value}`" if isinstance(value, str) else f"{value:g}"
                assert re.search(rf"`{name}`( \S)? \({re.escape(shown)}[;)]", row), f"{loss.name}.{name} = {shown}"
        assert ("likelihood" in row) == (shared <= set(defaults[loss.name])), loss.name
        if loss.family == "adversarial":
            assert stated_settings(row.split("|")[4]) == dict(loss.recipe), loss.name
        assert cited(row) <= cited(loss.source) and bool(cited(row)) == bool(cited(loss.source)), loss.name


def test_every_likelihood_is_documented() -> None:
    (elbo,) = (loss for loss in built_in("losses") if loss.name == "elbo")
    (likelihood,) = (option for option in elbo.option_schema if option.name == "likelihood")
    assert set(likelihood.choices) <= rows(FAMILIES["variational"]).keys()


def test_every_dataset_has_a_row_with_its_shape_modes_and_licence() -> None:
    found = rows(DOCS["models"].split("## Datasets", maxsplit=1)[1])
    for dataset in built_in("datasets"):
        _, _, shape, modes, _, licence, _ = found[dataset.name].split("|")
        changing = [f", `{o.name}`" for o in dataset.option_schema if o.name in ("size", "channels")]
        assert shape.strip() == "×".join(map(str, dataset.image_shape)) + "".join(changing), dataset.name
        assert modes.strip() == (f"{dataset.modes:,}" if dataset.modes else ""), dataset.name
        assert dataset.licence.split(";")[0] in licence, dataset.name


def test_every_remedy_of_the_recipe_is_documented() -> None:
    others = {
        "nproc",
        "nnodes",
        "batch_size",
        "images",
        "precision",
        "engine",
        "step_tuning",
        "input",
        "loader_workers",
        "warmup_steps",
        "samples",
        "energy_seconds",
    }
    section = DOCS["running"].split("## Remedies", maxsplit=1)[1].split("### Early stopping")[0]
    table = {name for line in section.splitlines() if line.startswith("|") for name in re.findall(r"`(\w+)`", line)}
    assert set(RECIPE_FIELDS) - others <= table
    for option in RECIPE_SCHEMA:
        if option.name in table:
            assert all(f"`{choice}`" in section for choice in option.choices), option.name


def test_every_field_of_a_cell_result_is_documented() -> None:
    for field in msgspec.structs.fields(CellResult):
        assert field.name in ("schema_version", "id") or f"`{field.name}`" in DOCS["results"], field.name


def test_the_table_of_profiles_is_that_of_the_code() -> None:
    for name, profile in PROFILES.items():
        (row,) = (line for line in DOCS["running"].splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{profile.recipe['images']:,} images" in row
        assert f"{profile.recipe['samples']:,}" in row
        assert str(profile.recipe.get("batch_size", "the model's")) in row


def test_the_example_plan_can_be_planned_from(tmp_path: Path) -> None:
    (example,) = blocks(DOCS["running"], "toml")
    plan = tmp_path / "plan.toml"
    plan.write_text(example, encoding="utf-8")
    request = make_request(read_config(plan))
    assert request.models == ("dcgan", "vae")
    assert request.set["dcgan"] == {"width": 32}


@pytest.mark.slow
def test_the_example_plugin_runs_beside_a_built_in_model(tmp_path: Path) -> None:
    plugin = tmp_path / "my_variant.py"
    plugin.write_text(blocks(DOCS["plugins"], "python")[0], encoding="utf-8")
    assert f"genbench run --plugin {plugin.name} --models my-variant,gan --profile smoke" in DOCS["plugins"]
    command = ["run", "--plugin", str(plugin), "--models", "my-variant,gan", "--profile", "smoke", "--json", "--quiet"]
    quick = ["--set", "gan.width=8", "--metrics", "diversity"]
    done = warm.command(*command, *quick, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    cells = [json.loads(path.read_text()) for path in (tmp_path / "run" / "cells").glob("*.json")]
    assert sorted((cell["identity"]["model"]["name"], cell["status"]) for cell in cells) == [
        ("gan", "ok"),
        ("my-variant", "ok"),
    ]


@pytest.mark.slow
def test_the_other_examples_train_beside_built_in_models_on_the_example_data(tmp_path: Path) -> None:
    files = []
    for block in blocks(DOCS["plugins"], "python"):
        named = re.match(r"# (my_\w+\.py)\n", block)
        if named and named[1] != "my_variant.py":
            files.append(tmp_path / named[1])
            files[-1].write_text(block, encoding="utf-8")
            assert f"genbench run --plugin {named[1]} " in DOCS["plugins"]
    assert len(files) == 12
    models = "gan,my-classes,vae,matcher,my-autoencoder,compressor"
    losses = "calm-fakes,laplace,squared,centred,my-margin,error"
    command = ["run", *(part for file in files for part in ("--plugin", str(file))), "--models", models]
    command += ["--losses", losses, "--datasets", "two-points", "--profile", "smoke", "--images", "256", "--quiet"]
    command += ["--metrics", "modes", "--ema-half-life", "1000", "--dropout", "0.1", "--set", "gan.width=8"]
    command += ["--reporters", "speeds"]
    done = warm.command(*command, "--json", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "speeds.csv").read_text().startswith("gan-calm-fakes-two-points-s0-")
    cells = [json.loads(path.read_text()) for path in (tmp_path / "run" / "cells").glob("*.json")]
    trained = {(cell["identity"]["model"]["name"], cell["identity"]["loss"]["name"]): cell for cell in cells}
    trained = {names: cell for names, cell in trained.items() if cell["status"] == "ok"}
    assert trained.keys() == {
        ("gan", "calm-fakes"),
        ("my-classes", "calm-fakes"),
        ("vae", "laplace"),
        ("matcher", "squared"),
        ("gan", "centred"),
        ("my-classes", "centred"),
        ("my-autoencoder", "my-margin"),
        ("compressor", "error"),
    }
    for names, cell in trained.items():
        assert cell["proof"]["trained"], names
        assert [estimate["metric"] for estimate in cell["estimates"]] == ["modes"], names
    assert trained["gan", "calm-fakes"]["proof"]["phase_updates"]["penalty"] == 2  # of 8 steps
    assert trained["vae", "laplace"]["parameters"]["loss"] == 1
    assert "discriminator.class_real" in trained["my-classes", "calm-fakes"]["curves"][-1]["terms"]
    assert "discriminator.drift" in trained["gan", "centred"]["curves"][-1]["terms"]
    assert "discriminator.fake_energy" in trained["my-autoencoder", "my-margin"]["curves"][-1]["terms"]
    assert trained["compressor", "error"]["proof"]["phase_updates"] == {"encoder": 8, "decoder": 8}
    assert trained["matcher", "squared"]["proof"]["phase_updates"] == {"mean": 8, "variance": 1}


def test_the_readme_gives_the_two_commands_and_ci_runs_the_second() -> None:
    test_command = 'pip install -c constraints.txt -e ".[dev]" && pytest'
    assert "pip install -c constraints.txt -e . && genbench run --models gan,dcgan,vae" in README
    assert test_command in README
    install, run = test_command.split(" && ")
    recipes = (ROOT / "justfile").read_text(encoding="utf-8")
    installer, arguments = "pip install", install.removeprefix("pip install ")
    assert f'\ninstaller := "{installer}"\n' in recipes
    assert f"\nsetup:\n    {{{{installer}}}} {arguments}\n" in recipes
    assert re.search(rf"^test \*arguments:\n    {run}\b", recipes, flags=re.MULTILINE)
    assert re.search(r"^ci: .*\btest-all\b", recipes, flags=re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").endswith(" setup ci\n")


def test_every_command_stands_in_the_overview() -> None:
    assert [name for name in COMMANDS if f"    genbench {name} " not in DOCS["commands"]] == []


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["dev"], *extras["peers"]]
    names = {re.split(r"[<>=\[]", requirement)[0].lower() for requirement in wanted} - {"genbench"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    pinned = {line.split("==")[0].replace("_", "-") for line in lines if "==" in line}
    assert names <= pinned
    assert not [line for line in lines if "://" in line or "@" in line]  # names and versions only
