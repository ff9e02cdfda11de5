"""The command that repeats a cell: a shell reads it, `genbench run` parses it, and the plan has the same cell."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import save_file

import genbench
from genbench.api.specs import Spec
from genbench.builtin.models import genbench_models
from genbench.cli.run import command as run_command
from genbench.errors import UsageError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import Kind, LoadedPlugin, Plugin, builtin_plugins, load_plugin
from genbench.report.repeat_command import repeat_command, repeat_notes, repeat_text
from genbench.results.schema import PlannedCell, RunRecord

BUILTIN = [load_plugin(plugin) for plugin in builtin_plugins()]
KNOWN = combine(BUILTIN)
MODELS = [spec.name for spec in genbench_models()]


def planned(given: dict[str, Any], settings: tuple[str, ...] = (), known: Catalogue = KNOWN) -> RunRecord:
    """Return the record of a run with the cells of a request."""
    made = make_plan(make_request(given, settings), known, given.get("device", "cpu"))
    return RunRecord(
        created="2026-01-01T00:00:00+00:00", genbench=genbench.__version__, profile=made.profile.name,
        cells=made.cells, targets=made.targets, timeout=made.profile.timeout,
    )  # fmt: skip


def parsed(arguments: list[str], known: Catalogue = KNOWN) -> list[PlannedCell]:
    """Return the cells that `genbench run` plans from these arguments."""
    assert arguments[:2] == ["genbench", "run"]
    flags = dict(run_command.make_context("run", arguments[2:]).params)
    settings = flags.pop("settings")
    for name in ("config", "resume", "dry_run", "in_process", "pdb", "quiet", "as_json", "trust_plugins"):
        flags.pop(name)
    flags |= {name: list(flags[name]) or None for name in ("plugins", "target", "zip")}
    return make_plan(make_request(flags, settings), known, flags["device"]).cells


def assert_repeats(record: RunRecord, known: Catalogue = KNOWN) -> None:
    assert record.cells
    for cell in record.cells:
        if cell.reason:
            with pytest.raises(UsageError, match=re.escape(cell.reason)):  # it cannot run alone either
                parsed(repeat_command(record, cell), known)
            continue
        (again,) = parsed(repeat_command(record, cell), known)
        assert again.id == cell.id, repeat_text(record, cell)
        assert again.identity == cell.identity
        assert again.samplers == cell.samplers


@pytest.mark.parametrize("profile", ["smoke", "quick", "standard"])
def test_every_model_under_every_loss_gives_the_same_ids(profile: str) -> None:
    given = {"losses": [*KNOWN.losses], "datasets": "fashion-mnist-mini,cifar10", "seeds": 3, "profile": profile}
    for model in MODELS:
        assert_repeats(planned({"models": model, **given}))


def test_recipes_with_lists_texts_and_small_numbers() -> None:
    recipe = {
        "learning_rate": 1e-7, "discriminator_learning_rate": 4e-4, "augment_discriminator": "ada",
        "augment_policy": ["flip"], "augment_target": -0.25, "freeze": ["generator.0.*", "a, b", " "],
        "best_metric": "fd-fashion-cnn", "evaluate_every": 100, "patience": 3, "precision": "bf16,fp32", "nproc": "1,2",
        "batch_size": 64, "images": 640, "input": "loader", "energy_seconds": 0,
    }  # fmt: skip
    assert_repeats(planned({"models": "gan,vae", "profile": "smoke", **recipe}))


def test_what_a_user_changed_back_to_the_default_of_the_schema_is_stated() -> None:
    record = planned({"models": "vae", "beta1": 0.5, "profile": "standard"})
    assert "--beta1" in repeat_command(record, record.cells[0])
    assert_repeats(record)


def test_what_the_profile_sets_is_left_out() -> None:
    record = planned({"models": "gan", "profile": "smoke"})
    assert not {"--images", "--batch-size", "--samples"} & {*repeat_command(record, record.cells[0])}
    older = msgspec.structs.replace(record.cells[0].identity, genbench="0.0.1")
    assert "--images" in repeat_command(record, msgspec.structs.replace(record.cells[0], identity=older))


def test_variants_sweeps_samplers_targets_and_options() -> None:
    given = {
        "models": "dcgan,vae", "samplers": "truncated:psi=0.5,truncated", "target": ["fd-fashion-cnn=40.5"],
        "variants": {"averaged": {"ema_half_life": 1000.0}, "wide": {"set": {"dcgan": {"width": 16}}}},
        "learning_rate": [1e-4, 2e-4],
    }  # fmt: skip
    assert_repeats(planned(given, ("vae.latent_dim=7",)))


def test_no_metrics_one_metric_and_an_impossible_cell() -> None:
    assert_repeats(planned({"models": "gan,vae", "metrics": "none"}))
    assert_repeats(planned({"models": "gan,vae", "metrics": "psnr"}))
    record = planned({"models": "gan,vae", "losses": "hinge"})
    assert any(cell.reason for cell in record.cells)
    assert_repeats(record)


def test_cuda_and_synthetic_data() -> None:
    assert_repeats(planned({"models": "resnet-gan", "datasets": "synthetic", "device": "cuda"}, ("synthetic.size=32",)))


@pytest.mark.parametrize(
    "name", ["my photos", "it's", 'a"b', "comma, here", "64", "true", "$(id)", "ünïcode", " x", "-x"]
)
def test_folders_with_any_name_survive_a_shell(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    options = {"set": {"folder": {"path": name, "size": 16}}}
    record = planned({"models": "gan", "datasets": "folder", "metrics": "none", **options})
    assert_repeats(record)
    text = repeat_text(record, record.cells[0])
    assert shlex.split(text) == repeat_command(record, record.cells[0])


def test_characters_that_act_on_a_terminal_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a\x1b[2J'\\\u202eb\n"
    (tmp_path / name).mkdir()
    record = planned({"models": "gan", "datasets": "folder", "metrics": "none", "set": {"folder": {"path": name}}})
    assert_repeats(record)
    text = repeat_text(record, record.cells[0])
    assert text.isprintable()
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert read.stdout.decode().split("\0")[:-1] == repeat_command(record, record.cells[0])


def test_initial_weights(tmp_path: Path) -> None:
    weights = tmp_path / "first run" / "w.safetensors"
    weights.parent.mkdir()
    save_file({"generator.0.weight": torch.zeros(2)}, weights)
    record = planned({"models": "gan", "init_from": str(weights)})
    assert_repeats(record)
    assert any("initial weights have the SHA-256" in note for note in repeat_notes(record, record.cells[0]))


@dataclass(frozen=True)
class Options:
    width: int = genbench.option(8, minimum=1)
    slope: float | None = genbench.option(0.2)
    mode: str | None = genbench.option("a")
    sizes: list[int] = genbench.option([1, 2])  # noqa: RUF009
    names: list[str] = genbench.option(["x"])  # noqa: RUF009
    deep: bool = genbench.option(False)
    kind: str = genbench.option("none")


@dataclass(frozen=True)
class MetricOptions:
    bins: int = genbench.option(8, minimum=1)


def acme(origin: str = "entry-point", **changes: Any) -> Catalogue:
    """Return a catalogue with a model and a loss of one name, a plugin's metric, and unusual defaults."""
    fields: dict[str, Any] = {"family": "adversarial", "default_loss": "gan", "latent_dim": 9} | changes
    recipe = {"discriminator_learning_rate": 1e-3, "freeze": ["a"], "nnodes": 1, "batch_size": 8}
    model = genbench.ModelSpec(name="acme", summary="s", build="a:b", options=Options, recipe=recipe, **fields)
    own = {"summary": "s", "create": "a:b", "options": Options, "family": "adversarial", "formula": "x"}
    loss = genbench.LossSpec(name="acme", **own)
    score = genbench.MetricSpec(
        name="acme-score", summary="s", measure="a:b", direction="higher", options=MetricOptions, default=True
    )
    specs: dict[Kind, list[Spec]] = {"models": [model], "losses": [loss], "metrics": [score]}
    distribution = "acme.py" if origin == "file" else "acme-pkg"
    plugin = Plugin("acme", origin, "/somewhere/acme.py", distribution, "0123456789ab", {}, "")
    return combine([*BUILTIN, LoadedPlugin(plugin, specs)])


def test_options_of_plugins_with_every_type_and_none() -> None:
    known = acme()
    values: dict[str, Any] = {
        "width": 3, "slope": None, "mode": None, "sizes": [], "names": ["a, b", 'c"'], "deep": True, "kind": "1.0",
    }  # fmt: skip
    given = {"models": "acme", "losses": "acme", "set": {"model:acme": values, "loss:acme": {"slope": 1e-9}}}
    given["set"]["metric:acme-score"] = {"bins": 4}
    record = planned({**given, "metrics": "acme-score"}, (), known)
    assert record.cells[0].identity.model.options["slope"] is None
    assert_repeats(record, known)


def test_no_value_in_place_of_a_default_of_the_model() -> None:
    known = acme()
    record = planned(
        {"models": "acme", "losses": "hinge", "set": {"acme": {"discriminator_learning_rate": None}}}, (), known
    )
    assert record.cells[0].identity.recipe["discriminator_learning_rate"] is None
    assert_repeats(record, known)
    assert_repeats(planned({"models": "acme", "losses": "hinge", "freeze": []}, (), known), known)


def test_latents_that_the_images_determine() -> None:
    known = acme(latent_dim=None)
    assert_repeats(planned({"models": "acme", "losses": "hinge"}, (), known), known)


def test_plugins_are_named() -> None:
    given = {"models": "acme", "losses": "hinge"}
    record = planned(given, (), acme())
    assert "It needs the plugin package acme-pkg 0123456789ab." in repeat_notes(record, record.cells[0])
    assert "--plugin" not in repeat_command(record, record.cells[0])
    known = acme("file")
    record = planned(given, (), known)
    files = {"plugin_files": ["/their place/acme.py", "/x/other.py"], "plugin_hashes": ["0123456789abcdef", "99"]}
    record = msgspec.structs.replace(record, **files)
    command = repeat_command(record, record.cells[0])
    assert command[command.index("--plugin") + 1] == "/their place/acme.py"
    assert command.count("--plugin") == 1
    assert any("plugin file acme.py" in note for note in repeat_notes(record, record.cells[0]))


def test_what_a_version_does_not_know_is_said() -> None:
    record = planned({"models": "gan"})
    identity = record.cells[0].identity
    changed = msgspec.structs.replace(identity, recipe={**identity.recipe, "warp": 9}, genbench="9.0")
    cell = msgspec.structs.replace(record.cells[0], identity=changed)
    notes = repeat_notes(record, cell)
    assert any("no setting warp" in note for note in notes)
    assert any("install this version" in note for note in notes)
    assert "--warp" not in repeat_command(record, cell)
