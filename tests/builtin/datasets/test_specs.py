"""The specs of the built-in datasets, before anything is loaded."""

import subprocess
import sys

import pytest

from genbench.api.specs import resolve
from genbench.builtin import datasets

SPECS = {spec.name: spec for spec in datasets.genbench_datasets()}
SMALL = {
    "synthetic": {"size": 8, "channels": 1, "count": 10},
    "gaussian-ring": {"count": 100},
    "gaussian-grid": {"count": 100},
    "stacked-fashion-mnist": {"count": 100},
    "shapes": {"size": 28, "count": 10},
}


def test_names_are_unique_and_the_first_is_the_default():
    names = [spec.name for spec in datasets.genbench_datasets()]
    assert names[0] == "fashion-mnist-mini"
    assert len(set(names)) == len(names)
    assert {"fashion-mnist", "folder", *SMALL} <= set(names)


def test_modes_are_counted_from_0_and_points_have_two_coordinates(tmp_path):
    with_modes = {name: spec.modes for name, spec in SPECS.items() if spec.modes}
    assert with_modes == {"gaussian-ring": 8, "gaussian-grid": 25, "stacked-fashion-mnist": 1000}
    assert [name for name, spec in SPECS.items() if spec.points] == ["gaussian-ring", "gaussian-grid"]
    for name, count in with_modes.items():
        spec = SPECS[name]
        values = {option.name: option.default for option in spec.option_schema} | SMALL[name]
        found = resolve(spec.mode_of)(resolve(spec.load)(spec.make_options(values), tmp_path).train.pixels)
        assert -1 <= int(found.min()) < int(found.max()) < count == spec.classes


def test_only_synthetic_is_synthetic_and_its_summary_states_its_purpose():
    assert [name for name, spec in SPECS.items() if spec.synthetic] == ["synthetic"]
    assert "throughput only" in SPECS["synthetic"].summary


def test_every_loader_exists():
    assert all(callable(resolve(spec.load)) for spec in SPECS.values())


@pytest.mark.parametrize("name", ["fashion-mnist-mini", *SMALL])
def test_the_loaded_data_match_the_spec(name, tmp_path):
    spec = SPECS[name]
    values = {option.name: option.default for option in spec.option_schema} | SMALL.get(name, {})
    data = resolve(spec.load)(spec.make_options(values), tmp_path)
    assert tuple(data.train.pixels.shape[1:]) == tuple(data.test.pixels.shape[1:]) == spec.shape(values)
    assert int(max(data.train.labels.max(), data.test.labels.max())) < spec.classes
    assert spec.train_size in (None, len(data.train.pixels))


def test_the_argument_after_the_colon_is_the_path():
    assert SPECS["folder"].argument == "path"
    assert SPECS["folder"].shape({"size": 32, "channels": 1}) == (1, 32, 32)


def test_listing_them_imports_neither_torch_nor_pillow():
    code = (
        "import sys, genbench.builtin.datasets as d; list(d.genbench_datasets());"
        "sys.exit(', '.join({'torch', 'numpy', 'PIL', 'torchvision'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
