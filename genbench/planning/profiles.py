"""Profiles: named budgets for a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from genbench.api.options import OptionValue
from genbench.errors import UsageError, near_miss


@dataclass(frozen=True)
class Profile:
    """A budget, and the recipe fields that it sets for every model."""

    name: str
    summary: str
    recipe: Mapping[str, OptionValue]
    timeout: float | None  # seconds per cell
    extra_metrics: tuple[str, ...] = field(default=())  # in addition to the default ones


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            "seconds: checks that everything works",
            {"images": 640, "batch_size": 32, "samples": 200, "energy_seconds": 0.0},
            timeout=300,
        ),
        Profile(
            "quick",
            "minutes on two cores: the default",
            {"images": 60_000, "batch_size": 32, "samples": 2_000},
            timeout=1_800,
        ),
        Profile(
            "standard",
            "hours on a CPU, minutes on a GPU; every model with its own batch size",
            {"images": 1_000_000, "samples": 10_000},
            timeout=12 * 3_600,
            extra_metrics=("fid",),
        ),
        Profile(
            "full",
            "a paper's budget: 5 million images, 50,000 samples",
            {"images": 5_000_000, "samples": 50_000},
            timeout=None,
            extra_metrics=("fid",),
        ),
    )
}


def find_profile(name: str) -> Profile:
    """Return the profile with that name; raise `UsageError` with a suggestion if there is none."""
    if name not in PROFILES:
        raise UsageError(
            f"Unknown profile '{name}'.{near_miss(name, PROFILES)}", f"Profiles: {', '.join(PROFILES)}.", code="GB101"
        )
    return PROFILES[name]
