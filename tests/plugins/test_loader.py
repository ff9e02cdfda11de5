"""Installed third-party plugins: working ones are used; a broken one affects nothing else and gives a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from plugin_packages import expose, pip_install_plugin, temp_plugin

from genbench.errors import UsageError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.loader import (
    Plugin,
    file_plugins,
    installed_plugins,
    load_plugin,
)
from genbench.plugins.probe import probe

MODEL = """
    import genbench

    @genbench.hookimpl
    def genbench_models():
        yield genbench.ModelSpec(
            name="{name}", family="adversarial", build=len, default_loss="non-saturating", {more}
        )
"""
LOSS = """
    import genbench

    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="{name}", family="adversarial", create=len, {more})
"""
DATASET = """
    from dataclasses import dataclass
    import genbench

    @dataclass(frozen=True)
    class Options:
        size: int = genbench.option(28, "pixels", minimum=8)

    @genbench.hookimpl
    def genbench_datasets():
        yield genbench.DatasetSpec(
            name="{name}", image_shape=(1, 28, 28), load=len, train_size=500, options=Options, {more}
        )
"""


def model(name: str, more: str = "") -> str:
    return MODEL.format(name=name, more=more)


def loss(name: str, more: str = "") -> str:
    return LOSS.format(name=name, more=more)


def dataset(name: str, more: str = "") -> str:
    return DATASET.format(name=name, more=more)


HEALTHY = {"acme-model": model("acme-gan"), "acme-loss": loss("acme-hinge"), "acme-data": dataset("acme-faces")}

# Broken plugins that are installed as well, and the expected reasons.
BROKEN: dict[str, tuple[str, str]] = {
    "bad-import": ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module"),
    "bad-syntax": ("def broken(:\n    pass", "SyntaxError: "),
    "bad-raise": ("raise RuntimeError('no licence found')", "RuntimeError: no licence found"),
    "bad-system-exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "bad-exit-0": ("import os; os._exit(0)", "the process exited with status 0 while loading"),
    "bad-exit-7": ("import os; os._exit(7)", "the process exited with status 7 while loading"),
    "bad-segfault": ("import ctypes; ctypes.string_at(0)", "the process was killed by SIGSEGV while loading"),
    "bad-kill": ("import os; os.kill(os.getpid(), 9)", "the process was killed by SIGKILL while loading"),
    "bad-interrupt": ("raise KeyboardInterrupt", "the process was killed by SIGINT while loading"),
    "bad-descriptors": ("import os; os.closerange(3, 256)", "the process exited with status 1 while loading"),
    "bad-nothing": (
        "x = 1",
        "it does not implement any hook of genbench; the hooks are genbench_families, genbench_models",
    ),
    "bad-hook-name": (
        model("hook-name").replace("genbench_models", "genbench_modles"),
        "There is no hook 'genbench_modles'. Did you mean 'genbench_models'?",
    ),
    "bad-hook-argument": (model("hook-argument").replace("models()", "models(conifg)"), "conifg"),
    "bad-undecorated": (
        model("undecorated").replace("@genbench.hookimpl", ""),
        "genbench_models is not marked as a hook. Decorate it with @genbench.hookimpl.",
    ),
    "bad-undecorated-typo": (
        "def genbench_losess(): return []",
        "genbench_losess is not marked as a hook. Decorate it with @genbench.hookimpl. Did you mean 'genbench_losses'?",
    ),
    "bad-half-decorated": (
        model("half-decorated") + "\n    def genbench_losses():\n        return []\n",
        "genbench_losses is not marked as a hook",
    ),
    "bad-single-spec": (
        loss("single").replace("yield", "return"),
        "genbench_losses returned LossSpec; it must yield or return a list of specs",
    ),
    "bad-number": ("import genbench\n@genbench.hookimpl\ndef genbench_models(): return 5", "returned int; it must"),
    "bad-strings": ("import genbench\n@genbench.hookimpl\ndef genbench_models(): return ['x']", "yielded str, not a M"),
    "bad-kind": (loss("wrong-kind").replace("genbench_losses", "genbench_models"), "yielded LossSpec, not a ModelSpec"),
    "bad-midway": (model("midway") + "        raise OSError('disk gone')\n", "OSError: disk gone"),
    "bad-name": (model("Bad Name"), "ModelSpec has the name 'Bad Name'. Use lower-case"),
    "bad-default": (
        dataset("bad-default").replace("option(28", "option('28'"),
        "DatasetSpec 'bad-default': option 'size' breaks its own type or range: default.size = '28'",
    ),
    "bad-shapes": (model("bad-shapes", "image_shapes=[(28, 28)]"), "must be (channels, height, width), not (28, 28)"),
    "bad-field": (model("bad-field", "colour='red'"), "TypeError: "),
    "bad-field-typo": (model("bad-field-typo", "value_rnge=(0, 1)"), "'value_rnge'. Did you mean 'value_range'?"),
    "bad-recipe": (model("bad-recipe", "recipe={'batchsize': 3}"), "Did you mean 'batch_size'?"),
    "bad-recipe-value": (loss("bad-recipe-value", "recipe={'batch_size': 0}"), "batch_size = 0 is out of range"),
    "bad-recipe-type": (model("bad-recipe-type", "recipe=None"), "recipe must be a mapping"),
    "bad-option-name": (
        model("bad-option-name", "options=type('Options', (), dict(width=1))"),
        "options must be a dataclass",
    ),
    "bad-data": (model("bad-data", "recipe={'batch_size': object()}"), "a value that is not plain data"),
    "bad-twice": (
        loss("twice") + "        yield genbench.LossSpec(name='twice', family='variational', create=len)\n",
        "it registers the loss 'twice' twice",
    ),
    "bad-rival": (
        loss("acme-hinge"),
        "it registers the loss 'acme-hinge', which acme-loss (acme-loss 1.2) already registers",
    ),
    "bad-rival-builtin": (model("dcgan"), "it registers the model 'dcgan', which models (genbench "),
    "bad-metric-name": (
        "import genbench\n@genbench.hookimpl\ndef genbench_metrics():\n"
        "    yield genbench.MetricSpec(name='fd', measure=len, direction='lower')",
        "it registers the metric 'fd', which feature_metrics (genbench ",
    ),
    **{
        name: (
            "import genbench\n@genbench.hookimpl\ndef genbench_metrics():\n"
            f"    yield genbench.MetricSpec(name='{metric}', measure=len, {fields})",
            reason,
        )
        for name, metric, fields, reason in (
            ("bad-likelihood", "likelihood", "direction='lower'", "a metric cannot be named 'likelihood'"),
            ("bad-fid", "fid-50k", "direction='lower'", "fid, kid and is are reserved for the Inception weights"),
            ("bad-kid", "k", "direction='each', estimates={'kid': 'lower'}", "'k' has the name 'kid'"),
            ("bad-estimate", "k", "direction='each', estimates={'psnr': 'higher'}", "the metric 'psnr' of metrics ("),
            ("bad-prefix", "k", "direction='each', estimates={'density': 'higher'}", "the name 'density-fashion-cnn'"),
            ("bad-full", "recall-k5-n9-fashion-cnn", "direction='lower'", "of the metric 'prdc-fashion-cnn' of ext"),
            ("bad-way", "k", "direction='each', estimates={'a': 'up'}", "estimates must map names to 'lower' or"),
            ("bad-single", "k", "direction='lower', estimates={'a': 'lower'}", "are for the direction 'each'"),
            ("bad-unnamed", "k", "direction='each', per_extractor=True", "estimates must be declared"),
            ("bad-classes", "k", "direction='lower', needs_classes=True", "needs_classes concerns extractors"),
        )
    },
    "bad-extractor": (
        "import genbench\n@genbench.hookimpl\ndef genbench_extractors():\n"
        "    yield genbench.ExtractorSpec(name='mine', load=len, metric='fid-mine')",
        "'mine' has the name 'fid-mine': fid, kid and is are reserved",
    ),
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Discover all of the above, installed in one folder; once per module."""
    site = tmp_path_factory.mktemp("site")
    for name, source in HEALTHY.items():
        temp_plugin(site, source, name=name, version="1.2")
    for name, (source, _) in BROKEN.items():
        temp_plugin(site, source, name=name, version="0.3")
    with pytest.MonkeyPatch.context() as patch:
        expose(site, patch)
        patch.setenv("GENBENCH_PLUGIN_TIMEOUT", "120")
        yield discover()


def find(catalogue: Catalogue, name: str) -> Plugin:
    (plugin,) = [plugin for plugin in catalogue.plugins if plugin.distribution == name]
    return plugin


def plan(catalogue: Catalogue, **given: object) -> list[str]:
    made = make_plan(make_request(given), catalogue, "cpu")
    return [f"{c.identity.model.name} {c.identity.loss.name} {c.identity.dataset.name}{c.reason}" for c in made.cells]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_plugin_of_one_kind_is_found_with_distribution_and_version(catalogue: Catalogue, name: str) -> None:
    plugin = find(catalogue, name)
    assert (plugin.origin, plugin.version, plugin.reason) == ("entry-point", "1.2", "")
    assert len(plugin.registers) == 1


def test_each_works_with_the_built_in_plugins(catalogue: Catalogue) -> None:
    assert plan(catalogue, models=["acme-gan"]) == ["acme-gan non-saturating fashion-mnist-mini"]
    assert plan(catalogue, models=["gan"], losses=["acme-hinge"]) == ["gan acme-hinge fashion-mnist-mini"]
    assert plan(catalogue, models=["vae"], datasets=["acme-faces"]) == ["vae elbo acme-faces"]


def test_three_plugins_work_together_and_the_plan_names_them(catalogue: Catalogue) -> None:
    request = make_request({"models": ["acme-gan"], "losses": ["acme-hinge"], "datasets": ["acme-faces"]})
    made = make_plan(request, catalogue, "cpu")
    assert {plugin.distribution for plugin in made.plugins} == set(HEALTHY)
    origin = made.cells[0].identity.model.origin
    assert (origin.plugin, origin.distribution, origin.version) == ("acme-model", "acme-model", "1.2")


def test_the_options_of_a_plugin_are_checked_without_importing_it(catalogue: Catalogue) -> None:
    request = make_request({"models": ["gan"], "datasets": ["acme-faces"]}, ["acme-faces.size=32"])
    assert make_plan(request, catalogue, "cpu").cells[0].identity.image_shape == (1, 32, 32)
    request = make_request({"models": ["gan"], "datasets": ["acme-faces"]}, ["acme-faces.size=4"])
    with pytest.raises(UsageError, match=r"acme-faces\.size = 4 is out of range"):
        make_plan(request, catalogue, "cpu")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_quarantined_with_its_reason(catalogue: Catalogue, name: str) -> None:
    plugin = find(catalogue, name)
    assert plugin.quarantined
    assert BROKEN[name][1] in plugin.reason
    assert plugin.version == "0.3"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("bad-import", "import a_module_that_is_not_there"),
        ("bad-syntax", "def broken(:"),
        ("bad-midway", "raise OSError"),
        ("bad-shapes", "yield genbench.ModelSpec("),
        ("bad-descriptors", "Bad file descriptor"),
    ],
)
def test_the_traceback_shows_the_authors_line(catalogue: Catalogue, name: str, where: str) -> None:
    assert where in find(catalogue, name).traceback


def test_nothing_of_a_quarantined_plugin_is_used(catalogue: Catalogue) -> None:
    assert "midway" not in catalogue.models
    assert not {entry.plugin.distribution for entry in catalogue.losses.values()} & set(BROKEN)


def test_the_error_for_a_quarantined_name_says_which_plugin_and_why(catalogue: Catalogue) -> None:
    with pytest.raises(
        UsageError, match=r"model 'midway' .*bad-midway \(bad-midway 0\.3\).*OSError: disk gone"
    ) as error:
        plan(catalogue, models=["midway"])
    assert "genbench plugin list" in error.value.cure


def test_the_error_for_an_unknown_name_mentions_plugins_that_failed_to_load(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match=r"Unknown model 'acme-gna'\. Did you mean 'acme-gan'") as error:
        plan(catalogue, models=["acme-gna"])
    assert "bad-import (bad-import 0.3), which is quarantined: ModuleNotFoundError" in error.value.cure
    assert "bad-midway" not in error.value.cure  # what it registers is known


def test_a_quarantined_plugin_with_a_name_in_use_is_a_warning(catalogue: Catalogue) -> None:
    warnings = make_plan(make_request({"models": ["dcgan", "gan"]}), catalogue, "cpu").warnings
    (warning,) = warnings
    assert "'dcgan' is also registered by the plugin bad-rival-builtin (bad-rival-builtin 0.3), which" in warning
    assert catalogue.models["dcgan"].plugin.origin == "builtin"


def test_a_plugin_that_hangs_is_abandoned_and_the_next_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp_plugin(tmp_path, "import time; print('dialling', flush=True); time.sleep(1000)", name="a-hang")
    temp_plugin(tmp_path, "print('x' * 80, flush=True)\nwhile True: print('y' * 8000)", name="b-flood")
    temp_plugin(tmp_path, loss("after"), name="c-healthy")
    expose(tmp_path, monkeypatch)
    monkeypatch.setenv("GENBENCH_PLUGIN_TIMEOUT", "3")
    chosen = [plugin for plugin in installed_plugins() if plugin.distribution in ("a-hang", "b-flood", "c-healthy")]
    began = time.monotonic()
    hung, flood, healthy = (loaded.plugin for loaded in probe(chosen))
    assert time.monotonic() - began < 60
    assert hung.reason == flood.reason == "it did not finish loading within 3 s"
    assert hung.traceback == "dialling\n"
    assert 0 < len(flood.traceback) <= 4000
    assert healthy.registers == {"losses": ["after"]}


def test_the_next_plugin_is_not_blamed_for_what_a_plugin_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp_plugin(tmp_path, loss("first") + "    import signal; signal.alarm(1)\n", name="a-alarm")
    temp_plugin(tmp_path, loss("second") + "    import time; time.sleep(2)\n", name="b-slow")
    expose(tmp_path, monkeypatch)
    chosen = [plugin for plugin in installed_plugins() if plugin.distribution in ("a-alarm", "b-slow")]
    assert [loaded.plugin.reason for loaded in probe(chosen)] == ["", ""]


def test_a_plugin_installed_by_pip_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_install_plugin(tmp_path / "site", loss("piped"), tmp_path / "project", name="acme-pip", version="2.1")
    expose(tmp_path / "site", monkeypatch)
    catalogue = discover()
    plugin = catalogue.losses["piped"].plugin
    assert (plugin.name, plugin.distribution, plugin.version) == ("acme-pip", "acme-pip", "2.1")


def test_an_entry_point_may_name_an_attribute_and_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import genbench

        class Plugin:
            @genbench.hookimpl
            def genbench_losses(self):
                return [genbench.LossSpec(name="in-a-class", family="adversarial", create=len)]

        plugin = Plugin()
    """
    temp_plugin(tmp_path, source, name="acme-object", entry_points={"object": "acme_object:plugin [extra]"})
    expose(tmp_path, monkeypatch)
    assert discover().losses["in-a-class"].plugin.name == "object"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[genbench]\nno equals sign\n", "its entry_points.txt cannot be read"),
        ("[genbench]\nx = not a module!\n", "No module named 'not a module!'"),
        ("[genbench]\nx = json:nothing\n", "AttributeError: module 'json' has no attribute 'nothing'"),
    ],
)
def test_damaged_metadata_affect_only_their_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    temp_plugin(tmp_path, "", name="damaged")
    (tmp_path / "damaged-1.0.dist-info" / "entry_points.txt").write_text(text)
    expose(tmp_path, monkeypatch)
    assert reason in find(discover(), "damaged").reason


def test_a_distribution_that_is_on_the_path_twice_is_one_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for site, version in (("old", "1.0"), ("new", "2.0")):
        temp_plugin(tmp_path / site, loss("doubled"), name="doubled", version=version)
        expose(tmp_path / site, monkeypatch)
    (plugin,) = [plugin for plugin in installed_plugins() if plugin.distribution == "doubled"]
    assert plugin.version == "2.0"  # the first on the path, which is what is imported


def test_the_version_of_a_single_file_plugin_is_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import genbench\n@genbench.hookimpl\ndef genbench_losses():\n    return []\n")
    (first,) = file_plugins([path])
    assert file_plugins([path, str(path)]) == [first]
    path.write_text(path.read_text() + "# changed\n")
    (second,) = file_plugins([path])
    assert first.version != second.version
    assert asdict(first)["distribution"] == "mine.py"
    with pytest.raises(UsageError, match=r"nowhere\.py cannot be read: No such file"):
        file_plugins([tmp_path / "nowhere.py"])
    with pytest.raises(UsageError, match="Is a directory"):
        file_plugins([tmp_path])


def test_a_file_that_does_not_end_in_py_is_rejected_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("")
    assert "Rename the file so that it ends in .py." in load_plugin(file_plugins([path])[0]).plugin.reason


def test_plugins_are_not_imported_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('a file of the user, not a module')")
    temp_plugin(tmp_path / "site", loss("elsewhere"), name="acme-elsewhere")
    expose(tmp_path / "site", monkeypatch)
    monkeypatch.chdir(tmp_path)
    chosen = [plugin for plugin in installed_plugins() if plugin.distribution == "acme-elsewhere"]
    assert [loaded.plugin.reason for loaded in probe(chosen)] == [""]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_an_invalid_time_limit_is_rejected(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GENBENCH_PLUGIN_TIMEOUT", text)
    with pytest.raises(UsageError, match="GENBENCH_PLUGIN_TIMEOUT"):
        probe([])
