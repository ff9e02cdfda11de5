"""A plugin that registers a family."""

import genbench


@genbench.hookimpl
def genbench_families():
    """Register the family."""
    yield genbench.FamilySpec(name="my-family", create="my_package.family:create", networks=("network",))
