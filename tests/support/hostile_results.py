"""A plugin whose metrics, loss and dataset return what cannot be stored: texts that are not Unicode, huge numbers."""

import dataclasses

import genbench

BAD = "name-\udcff"  # as Python reads a file name that is not UTF-8


def raising(evaluation):
    raise OSError(f"cannot read {BAD}")


def returning(metric, **changes):
    fields = {"metric": metric, "value": 1.0, "standard_error": None, "n": 16, "direction": "lower"}
    return lambda evaluation: genbench.Estimate(**{**fields, **changes})


MEASURES = {
    "raising": raising,
    "text-in-protocol": returning("text-in-protocol", protocol={"file": BAD}),
    "nan-in-protocol": returning("nan-in-protocol", protocol={"scale": float("nan")}),
    "infinity-in-protocol": returning("infinity-in-protocol", protocol={"scale": float("inf")}),
    "huge-in-protocol": returning("huge-in-protocol", protocol={"scale": 10**400}),
    "huge-value": returning("huge-value", value=10**400),
    "text-in-reason": lambda evaluation: genbench.Unavailable("text-in-reason", BAD),
}


@genbench.hookimpl
def genbench_metrics():
    for name, measure in MEASURES.items():
        yield genbench.MetricSpec(name=name, measure=measure, direction="lower", default=False)


def create(options):
    from genbench.builtin.losses.variational import ElboOptions
    from genbench.builtin.losses.variational.bounds import elbo

    plain = elbo(ElboOptions())

    def objective(posterior):
        total, terms = plain.objective(posterior)
        return genbench.Objective(total, {**terms, BAD: total})

    return dataclasses.replace(plain, objective=objective)


@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(name="hostile", family="variational", create=create)


def load(options, cache):
    import torch

    pixels = torch.randint(0, 256, (80, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = genbench.Images(pixels)
    return genbench.ImageData(images, images, notes=(f"the file {BAD} was skipped",))


@genbench.hookimpl
def genbench_datasets():
    yield genbench.DatasetSpec(name="hostile-data", image_shape=(1, 8, 8), load=load)
