"""genbench compares generative models: how fast they train, and what quality they reach.

This is the public API for plugins and notebooks; apart from `genbench.testing`, nothing else is public. Importing this
package does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

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
from genbench.api.images import ImageData, Images, Shape, show_loading
from genbench.api.jobs import (
    Executor,
    ExecutorSetup,
    ExecutorUnavailable,
    JobHandle,
    JobRequest,
    JobState,
    Resources,
)
from genbench.api.options import option
from genbench.api.restriction import Restriction
from genbench.api.shape_rule import ShapeRule
from genbench.api.specs import (
    DatasetSpec,
    ExecutorSpec,
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
    AdversarialBatch,
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
    MappedGenerator,
    NoisyGenerator,
    Objective,
    Phase,
    Posterior,
    Sampler,
    SamplerFamily,
    ScheduledNetwork,
    VariationalLoss,
)
from genbench.errors import DataError, GenbenchError, NetworkError, SpecError

if TYPE_CHECKING:
    from genbench.builtin.extractors.feature_maps import FeatureMaps, feature_maps
    from genbench.builtin.losses.variational import LikelihoodOptions
    from genbench.builtin.losses.variational.likelihoods import ImageLikelihood, make_likelihood
    from genbench.builtin.models.vector_quantised.pixelcnn import PixelCNN
    from genbench.builtin.models.vector_quantised.vq_vae import Codebook
    from genbench.commands.archive import archive
    from genbench.commands.board import board
    from genbench.commands.cell import Cell
    from genbench.commands.check_run import check_runs
    from genbench.commands.checks.certificate import certificate_figure
    from genbench.commands.checks.extractors import accept_extractor, certify_extractor
    from genbench.commands.checks.images import check_images
    from genbench.commands.checks.machine import check_machine, describe_machine
    from genbench.commands.comparisons.judgement import compare
    from genbench.commands.distance import distance, save_image_statistics
    from genbench.commands.explanation import explain_distance
    from genbench.commands.first_steps.error_codes import explain
    from genbench.commands.first_steps.new_plan import new_plan
    from genbench.commands.load import load
    from genbench.commands.measure import measure_run
    from genbench.commands.plan import CellPlan, Cost, Plan, plan
    from genbench.commands.plugins.conformance import check_plugin
    from genbench.commands.plugins.creation import new_plugin
    from genbench.commands.plugins.description import describe_plugin
    from genbench.commands.plugins.installed import catalogue, installed_plugins
    from genbench.commands.results import PooledCells, Quantity, Results
    from genbench.commands.run import RunInterrupted, resume, run
    from genbench.commands.sample import sample
    from genbench.commands.schema import json_schema
    from genbench.commands.table import ComparisonTable
    from genbench.commands.tuning.cost import plan_tuning
    from genbench.commands.tuning.tune import tune
    from genbench.commands.tuning.tuning import Tuning, load_tuning
    from genbench.commands.versions.calibration import calibrate
    from genbench.commands.versions.live import compare_versions
    from genbench.imagesets.explain.explanation import Explanation
    from genbench.imagesets.measured import Comparison, ImageSetReport
    from genbench.report.board.site import Board
    from genbench.report.figures.figure import Figure
    from genbench.runner.node import execute_job

__version__ = "0.2.0"

# Public names that are imported on first use, what notebooks call and parts of built-in models. Imports by name keep
# this module a leaf.
_ON_FIRST_USE = {
    "Board": "genbench.report.board.site",
    "Cell": "genbench.commands.cell",
    "CellPlan": "genbench.commands.plan",
    "Codebook": "genbench.builtin.models.vector_quantised.vq_vae",
    "Comparison": "genbench.imagesets.measured",
    "ComparisonTable": "genbench.commands.table",
    "Cost": "genbench.commands.plan",
    "Explanation": "genbench.imagesets.explain.explanation",
    "FeatureMaps": "genbench.builtin.extractors.feature_maps",
    "Figure": "genbench.report.figures.figure",
    "ImageSetReport": "genbench.imagesets.measured",
    "ImageLikelihood": "genbench.builtin.losses.variational.likelihoods",
    "LikelihoodOptions": "genbench.builtin.losses.variational",
    "PixelCNN": "genbench.builtin.models.vector_quantised.pixelcnn",
    "Plan": "genbench.commands.plan",
    "PooledCells": "genbench.commands.results",
    "Quantity": "genbench.commands.results",
    "Results": "genbench.commands.results",
    "RunInterrupted": "genbench.commands.run",
    "accept_extractor": "genbench.commands.checks.extractors",
    "Tuning": "genbench.commands.tuning.tuning",
    "archive": "genbench.commands.archive",
    "board": "genbench.commands.board",
    "calibrate": "genbench.commands.versions.calibration",
    "catalogue": "genbench.commands.plugins.installed",
    "certificate_figure": "genbench.commands.checks.certificate",
    "certify_extractor": "genbench.commands.checks.extractors",
    "check_images": "genbench.commands.checks.images",
    "check_machine": "genbench.commands.checks.machine",
    "check_plugin": "genbench.commands.plugins.conformance",
    "check_runs": "genbench.commands.check_run",
    "compare": "genbench.commands.comparisons.judgement",
    "compare_versions": "genbench.commands.versions.live",
    "describe_machine": "genbench.commands.checks.machine",
    "describe_plugin": "genbench.commands.plugins.description",
    "distance": "genbench.commands.distance",
    "execute_job": "genbench.runner.node",
    "explain": "genbench.commands.first_steps.error_codes",
    "explain_distance": "genbench.commands.explanation",
    "feature_maps": "genbench.builtin.extractors.feature_maps",
    "installed_plugins": "genbench.commands.plugins.installed",
    "json_schema": "genbench.commands.schema",
    "load": "genbench.commands.load",
    "measure_run": "genbench.commands.measure",
    "new_plan": "genbench.commands.first_steps.new_plan",
    "new_plugin": "genbench.commands.plugins.creation",
    "load_tuning": "genbench.commands.tuning.tuning",
    "make_likelihood": "genbench.builtin.losses.variational.likelihoods",
    "plan": "genbench.commands.plan",
    "plan_tuning": "genbench.commands.tuning.cost",
    "resume": "genbench.commands.run",
    "run": "genbench.commands.run",
    "sample": "genbench.commands.sample",
    "save_image_statistics": "genbench.commands.distance",
    "tune": "genbench.commands.tuning.tune",
}

__all__ = [
    "API_VERSION",
    "AdversarialBatch",
    "AdversarialLoss",
    "Augmentation",
    "Batch",
    "Board",
    "Cell",
    "CellFacts",
    "CellFinished",
    "CellPlan",
    "CellStarted",
    "CheckedFamily",
    "Classifier",
    "Codebook",
    "Comparison",
    "ComparisonTable",
    "Cost",
    "DataError",
    "DatasetSpec",
    "Estimate",
    "Evaluated",
    "Evaluation",
    "ExactLikelihoodFamily",
    "Executor",
    "ExecutorSetup",
    "ExecutorSpec",
    "ExecutorUnavailable",
    "Explanation",
    "Extractor",
    "ExtractorData",
    "ExtractorSpec",
    "ExtractorUnavailable",
    "Family",
    "FamilySpec",
    "FeatureMaps",
    "Figure",
    "GenbenchError",
    "ImageData",
    "ImageLikelihood",
    "ImageSetReport",
    "Images",
    "JobHandle",
    "JobRequest",
    "JobState",
    "LatentFamily",
    "Likelihood",
    "LikelihoodBound",
    "LikelihoodFamily",
    "LikelihoodOptions",
    "LogLikelihood",
    "LossSpec",
    "MappedGenerator",
    "MetricSpec",
    "ModelSpec",
    "NetworkError",
    "NoisyGenerator",
    "Objective",
    "Phase",
    "PixelCNN",
    "Plan",
    "PooledCells",
    "Posterior",
    "Quantity",
    "ReporterSpec",
    "ReporterUnavailable",
    "Resources",
    "Restriction",
    "Results",
    "Rows",
    "RunFacts",
    "RunFinished",
    "RunInterrupted",
    "RunStarted",
    "Sampler",
    "SamplerFamily",
    "SamplerSpec",
    "ScheduledNetwork",
    "Setup",
    "Shape",
    "ShapeRule",
    "SpecError",
    "Statistics",
    "Tuning",
    "Unavailable",
    "VariationalLoss",
    "WindowFinished",
    "__version__",
    "accept_extractor",
    "archive",
    "board",
    "calibrate",
    "catalogue",
    "certificate_figure",
    "certify_extractor",
    "check_images",
    "check_machine",
    "check_plugin",
    "check_runs",
    "compare",
    "compare_versions",
    "describe_machine",
    "describe_plugin",
    "distance",
    "execute_job",
    "explain",
    "explain_distance",
    "feature_maps",
    "hookimpl",
    "installed_plugins",
    "json_schema",
    "load",
    "load_tuning",
    "make_likelihood",
    "measure_run",
    "new_plan",
    "new_plugin",
    "option",
    "plan",
    "plan_tuning",
    "resume",
    "run",
    "sample",
    "save_image_statistics",
    "show_loading",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module 'genbench' has no attribute '{name}'")
    value = getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})
