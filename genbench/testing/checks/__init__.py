"""The rules of the conformance kit, in the order in which they are checked; `docs/conformance.md` lists them."""

from __future__ import annotations

from genbench.testing.check import Check
from genbench.testing.checks import (
    contract,
    datasets,
    execution,
    learning,
    losses,
    measuring,
    networks,
    persistence,
    reporters,
    restrictions,
)

CHECKS: tuple[Check, ...] = (
    contract.loads,
    contract.documented,
    contract.builds,
    contract.image_shapes,
    contract.value_range,
    contract.full_range,
    contract.finite_steps,
    contract.process_untouched,
    restrictions.restrictions,
    learning.seeded,
    learning.every_parameter_trains,
    learning.no_gradient_crosses,
    learning.bf16,
    learning.bounded_memory,
    execution.no_host_reads,
    execution.device_purity,
    execution.memory_layout,
    execution.compiles,
    persistence.save_and_load,
    persistence.resume,
    networks.norm_epsilon,
    networks.raw_logits,
    networks.labels_matter,
    losses.extreme_logits,
    losses.batch_duplication,
    losses.penalty_per_sample,
    losses.nll_per_image,
    losses.nll_normalised,
    datasets.dataset_contract,
    datasets.dataset_repeats,
    measuring.metric_contract,
    measuring.metric_repeats,
    measuring.extractor_contract,
    measuring.extractor_per_image,
    reporters.reporter_contract,
    reporters.reporter_offline,
    reporters.reporter_events,
    reporters.reporter_answers,
    reporters.reporter_idle,
    reporters.reporter_place,
    reporters.reporter_resumes,
    reporters.reporter_ends,
)

BY_NAME: dict[str, Check] = {check.name: check for check in CHECKS}
