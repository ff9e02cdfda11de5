"""Identity: the same request always has the same id, and a different request has a different one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.api.specs import LONGEST_NAME
from genbench.planning.identity import IDENTITY_VERSION, cell_id, digest, origin, reference_id
from genbench.plugins.loader import Plugin
from genbench.results.consistency import problem_of_id
from genbench.results.schema import CellIdentity, Choice, PluginOrigin

ORIGIN = PluginOrigin(plugin="builtin", distribution="genbench", version="0.1.0")
IDENTITY = CellIdentity(
    identity_version=2,
    model=Choice(name="dcgan", options={"width": 64}, origin=ORIGIN),
    family=Choice(name="adversarial", origin=ORIGIN),
    loss=Choice(name="non-saturating", origin=ORIGIN),
    dataset=Choice(name="fashion-mnist-mini", origin=ORIGIN),
    image_shape=(1, 28, 28),
    latent_dim=100,
    recipe={"batch_size": 32, "learning_rate": 0.0002, "precision": "fp32"},
    device="cpu",
    seed=0,
    metrics=("fd-fashion-cnn", "diversity"),
    genbench="0.1.0",
)


def test_the_id_of_a_fixed_record_never_changes() -> None:
    # Stored runs are resumed and compared by these ids: increase IDENTITY_VERSION if this must change.
    assert IDENTITY_VERSION == 2
    assert cell_id(IDENTITY) == "dcgan-non-saturating-fashion-mnist-mini-s0-cf4fe2fe71"
    assert reference_id(IDENTITY.dataset, 2000) == "fashion-mnist-mini-2000-03ae0e3046"


def changed(record: Any, path: str, value: object) -> Any:
    name, _, rest = path.partition(".")
    inner = getattr(record, name)
    if not rest:
        return msgspec.structs.replace(record, **{name: value})
    replaced = {**inner, rest: value} if isinstance(inner, dict) else changed(inner, rest, value)
    return msgspec.structs.replace(record, **{name: replaced})


CHANGES: dict[str, object] = {
    "identity_version": 3,
    **{
        f"{part}.{field}": value
        for part in ("model", "family", "loss", "dataset")
        for field, value in {
            "name": "other", "options.x": 1, "origin.plugin": "acme", "origin.distribution": "acme",
            "origin.version": "0.1.1",
        }.items()
    },
    "image_shape": (3, 28, 28),
    "latent_dim": 101,
    "recipe.batch_size": 33,
    "recipe.learning_rate": 0.00020000000000000004,
    "recipe.new_field": None,
    "device": "cuda",
    "seed": 1,
    "metrics": ("diversity", "fd-fashion-cnn"),
    "metric_origins": {"mine": PluginOrigin(plugin="acme", distribution="acme", version="1")},
    "metric_options": {"mine": {"order": 2.0}},
    "init_hash": "0" * 64,
    "genbench": "0.1.1",
}  # fmt: skip


def test_every_field_is_tried() -> None:
    assert {path.partition(".")[0] for path in CHANGES} == set(CellIdentity.__struct_fields__)


@pytest.mark.parametrize("path", CHANGES)
def test_any_change_of_the_request_gives_another_id(path: str) -> None:
    other = changed(IDENTITY, path, CHANGES[path])
    assert other != IDENTITY
    assert digest(other) != digest(IDENTITY)
    assert cell_id(other) != cell_id(IDENTITY)


def test_another_version_of_a_metrics_plugin_gives_another_id() -> None:
    versions = [{"mine": PluginOrigin(plugin="acme", distribution="acme", version=version)} for version in ("1", "2")]
    assert len({digest(msgspec.structs.replace(IDENTITY, metric_origins=origins)) for origins in versions}) == 2


@given(st.permutations([("batch_size", 32), ("learning_rate", 0.0002), ("precision", "fp32")]))
def test_the_order_of_options_does_not_matter(items: list[tuple[str, Any]]) -> None:
    assert cell_id(msgspec.structs.replace(IDENTITY, recipe=dict(items))) == cell_id(IDENTITY)


def test_a_record_keeps_its_id_after_storing_and_reading() -> None:
    again = msgspec.json.decode(msgspec.json.encode(IDENTITY), type=CellIdentity)
    assert cell_id(again) == cell_id(IDENTITY)


def test_built_in_plugins_share_one_origin_and_others_keep_their_names() -> None:
    built_in = Plugin("models", "builtin", "genbench.builtin.models", "genbench", "0.1.0")
    assert origin(built_in) == ORIGIN
    installed = Plugin("acme", "entry-point", "acme_gan", "acme-gan", "1.2")
    assert origin(installed) == PluginOrigin(plugin="acme", distribution="acme-gan", version="1.2")


def test_the_longest_names_give_an_id_that_can_be_the_name_of_a_file() -> None:
    longest = msgspec.structs.replace(IDENTITY.model, name="m" * LONGEST_NAME)
    identity = msgspec.structs.replace(IDENTITY, model=longest, loss=longest, dataset=longest, seed=2**31 - 1)
    assert problem_of_id(cell_id(identity)) == ""


def test_an_id_is_the_name_of_a_file_on_every_system() -> None:
    found = cell_id(IDENTITY)
    assert not {*found} & {*'<>:"/\\|?*'}
    assert found == found.lower()  # Windows and macOS take names that differ in case for one


def test_equal_initial_weights_give_one_id_wherever_they_are() -> None:
    def of(source: str, content: str) -> str:
        recipe = {**IDENTITY.recipe, "init_from": source}
        return cell_id(msgspec.structs.replace(IDENTITY, recipe=recipe, init_hash=content))

    assert of("a:vae", "0" * 64) == of("b.safetensors", "0" * 64)
    assert of("a:vae", "0" * 64) != of("a:vae", "1" * 64)
    assert of("a:vae", "0" * 64) != of("", "")
