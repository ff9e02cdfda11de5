"""What is stored or downloaded: prepared images, Inception weights and published datasets, each with its hash."""

from __future__ import annotations

import os
from pathlib import Path

from genbench.doctor.finding import Figure, Finding, combined, failed, not_applicable, passed, warning
from genbench.doctor.storage import shown
from genbench.results.cache import cache_directory

_MOST_READ = 2**31  # bytes of prepared images that are read through
_LARGEST = 100_000  # images of a dataset that is loaded, to verify its files


def prepared(device: str) -> Finding:
    """Read prepared images in the cache, the smallest sets first, up to 2 GiB, and compare them with their hash.

    Of larger sets only what cells check is checked: the sizes and the times of their files.
    """
    folder = cache_directory() / "prepared"
    entries = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    if not entries:
        return not_applicable("no dataset has been prepared yet")
    sizes = {path: sum(file.stat().st_size for file in path.glob("*.npy")) for path in entries}
    read, found = 0, []
    for path in sorted(entries, key=sizes.__getitem__):
        read += sizes[path]
        found.append(_entry(path, whole=read <= _MOST_READ))
    figures = (Figure("entries", len(entries)), Figure("size", sum(sizes.values()) / 2**20, "MiB"))
    return combined([passed(*figures), *found])


def _entry(path: Path, whole: bool) -> Finding:
    import torch

    from genbench.data.content_hash import content_hash
    from genbench.data.image_cache import read_entry

    name = path.name.rpartition("-")[0] or path.name
    remedy = f"Delete it, and it is prepared again when it is needed: rm -r {shown(path)}."
    found = read_entry(path)
    if found is None:
        return failed(f"The prepared images of {name} are stale: their files have changed or are incomplete.", remedy)
    data, expected = found
    parts = (data.train.pixels, data.train.labels, data.test.pixels, data.test.labels)
    if whole and content_hash([None if part is None else torch.as_tensor(part) for part in parts]) != expected:
        return failed(
            f"The prepared images of {name} are not those that were stored, and cells would train on them.",
            f"{remedy} If it happens again, check the disk.",
        )
    return passed()


def inception_weights(device: str) -> Finding:
    """Verify the Inception weights where they are here, without downloading them."""
    from genbench import ExtractorUnavailable
    from genbench.builtin.extractors.inception_weights import URL, VARIABLE, cached_path, checked_sha256, published

    named = os.environ.get(VARIABLE)
    path = Path(named).expanduser() if named else cached_path()
    replace = f"Replace it with {URL}" + (
        f", or unset {VARIABLE}." if named else ", or delete it: it is downloaded again."
    )
    if not path.is_file():
        if named:
            return failed(f"{VARIABLE} is {shown(path)}, which is not a file.", f"Correct it, or unset {VARIABLE}.")
        return not_applicable(f"they are not here; the metric fid downloads {URL} to {shown(path)}")
    try:
        sha256 = checked_sha256(path)
        if not published(sha256):
            import torch

            from genbench.builtin.extractors.inception import load

            load(torch.device("cpu"))
    except ExtractorUnavailable as error:
        return failed(f"{error}.", replace)
    figures = (Figure("path", shown(path)), Figure("sha256", sha256[:16]))
    if not published(sha256):
        return warning("These are other weights than the published ones: no value is called fid.", replace, *figures)
    return passed(*figures)


def datasets(device: str) -> Finding:
    """Say which built-in datasets are here, and verify those of up to 100,000 images by loading them."""
    from genbench.plugins.catalogue import combine
    from genbench.plugins.worker_catalogue import load_builtin_plugins

    specs = [entry.spec for entry in combine(load_builtin_plugins()).datasets.values()]
    return combined(_dataset(spec) for spec in specs if spec.signature is not None and not spec.argument)


def _dataset(spec: object) -> Finding:
    from genbench.api.specs import DatasetSpec, resolve
    from genbench.errors import DataError

    assert isinstance(spec, DatasetSpec)
    options, folder = spec.make_options({}), cache_directory()
    assert spec.signature is not None
    if not resolve(spec.signature)(options, folder):
        return passed(Figure(spec.name, f"not here (source: {spec.source})"))
    if spec.train_size is None or spec.train_size > _LARGEST:
        return passed(Figure(spec.name, "here, not verified"))
    try:
        resolve(spec.load)(options, folder)
    except DataError as error:
        return failed(f"{spec.name}: {error.cause}", error.cure)
    return passed(Figure(spec.name, "here, verified"))
