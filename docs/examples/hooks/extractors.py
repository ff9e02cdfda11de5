"""A plugin that registers an extractor."""

import genbench


@genbench.hookimpl
def genbench_extractors():
    """Register the extractor."""
    yield genbench.ExtractorSpec(name="my-features", load="my_package.features:load")
