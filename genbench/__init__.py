"""genbench compares generative models: how fast they train, and what quality they reach.

This is the public API for plugins and notebooks; apart from `genbench.testing`, nothing else is public. Importing this
package does not import torch.
"""

from genbench.api.evaluation import (
    Classifier,
    Estimate,
    Evaluation,
    Extractor,
    ExtractorData,
    ExtractorUnavailable,
    Rows,
    Statistics,
    Unavailable,
)
from genbench.api.events import (
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
from genbench.api.hookspecs import API_VERSION, hookimpl
from genbench.api.images import ImageData, Images, Shape
from genbench.api.options import option
from genbench.api.restriction import Restriction
from genbench.api.shape_rule import ShapeRule
from genbench.api.specs import (
    DatasetSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
    SamplerSpec,
    Setup,
)
from genbench.api.training import (
    AdversarialLoss,
    Augmentation,
    Batch,
    CheckedFamily,
    ExactLikelihoodFamily,
    Family,
    LatentFamily,
    Likelihood,
    LikelihoodBound,
    LikelihoodFamily,
    LogLikelihood,
    Objective,
    Phase,
    Posterior,
    Sampler,
    SamplerFamily,
    VariationalLoss,
)
from genbench.errors import DataError, GenbenchError, NetworkError, SpecError

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "AdversarialLoss",
    "Augmentation",
    "Batch",
    "CellFacts",
    "CellFinished",
    "CellStarted",
    "CheckedFamily",
    "Classifier",
    "DataError",
    "DatasetSpec",
    "Estimate",
    "Evaluated",
    "Evaluation",
    "ExactLikelihoodFamily",
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
    "LogLikelihood",
    "LossSpec",
    "MetricSpec",
    "ModelSpec",
    "NetworkError",
    "Objective",
    "Phase",
    "Posterior",
    "ReporterSpec",
    "ReporterUnavailable",
    "Restriction",
    "Rows",
    "RunFacts",
    "RunFinished",
    "RunStarted",
    "Sampler",
    "SamplerFamily",
    "SamplerSpec",
    "Setup",
    "Shape",
    "ShapeRule",
    "SpecError",
    "Statistics",
    "Unavailable",
    "VariationalLoss",
    "WindowFinished",
    "__version__",
    "hookimpl",
    "option",
]
