"""genbench compares generative models: how fast they train and how good they get.

Everything that a plugin author or a notebook needs is importable from here; nothing else is public. Importing this
package does not import torch.
"""

from genbench.errors import DataError, GenbenchError
from genbench.events import (
    CellFacts,
    CellFinished,
    CellStarted,
    Evaluated,
    ReporterUnavailable,
    RunFacts,
    RunFinished,
    RunStarted,
    WindowFinished,
)
from genbench.exchange import (
    AdversarialLoss,
    Augmentation,
    Batch,
    Classifier,
    Estimate,
    Evaluation,
    Extractor,
    ExtractorData,
    ExtractorUnavailable,
    Family,
    ImageData,
    Images,
    LatentFamily,
    Likelihood,
    LikelihoodBound,
    LikelihoodFamily,
    Objective,
    Phase,
    Posterior,
    Rows,
    Setup,
    Statistics,
    Unavailable,
    VariationalLoss,
)
from genbench.hookspecs import API_VERSION, hookimpl
from genbench.options import option
from genbench.specs import DatasetSpec, ExtractorSpec, FamilySpec, LossSpec, MetricSpec, ModelSpec, ReporterSpec, Shape

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "AdversarialLoss",
    "Augmentation",
    "Batch",
    "CellFacts",
    "CellFinished",
    "CellStarted",
    "Classifier",
    "DataError",
    "DatasetSpec",
    "Estimate",
    "Evaluated",
    "Evaluation",
    "Extractor",
    "ExtractorData",
    "ExtractorSpec",
    "ExtractorUnavailable",
    "Family",
    "FamilySpec",
    "GenbenchError",
    "ImageData",
    "Images",
    "LatentFamily",
    "Likelihood",
    "LikelihoodBound",
    "LikelihoodFamily",
    "LossSpec",
    "MetricSpec",
    "ModelSpec",
    "Objective",
    "Phase",
    "Posterior",
    "ReporterSpec",
    "ReporterUnavailable",
    "Rows",
    "RunFacts",
    "RunFinished",
    "RunStarted",
    "Setup",
    "Shape",
    "Statistics",
    "Unavailable",
    "VariationalLoss",
    "WindowFinished",
    "__version__",
    "hookimpl",
    "option",
]
