"""Races in words: what is planned, what each look has decided, and how a race has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from genbench.gate.race import (
    FIRST_LOOK,
    MOST_FAILURES,
    boundaries,
    least_images,
    left_after,
    next_places,
    planned_images,
    spent_images,
)
from genbench.report import numbers
from genbench.results.identity_settings import key_without_seed
from genbench.results.schema import PlannedCell, PlannedRace, RaceDrop, RaceLook, RunRecord
from genbench.results.store import RunContents

UNEQUAL = (
    "a race stopped cells because of their values: numbers of seeds are unequal by design, and errors, ranks, letters "
    "and p-values are not those of a planned comparison"
)


def plan_text(race: PlannedRace) -> str:
    """Return the looks, boundaries and costs of a planned race."""
    limits, count = boundaries(race), len(race.candidates)
    shown = [n for n in (3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100) if n <= race.most_seeds]
    needed = ", ".join(f"{numbers.significant(limits.t(n), 3)} after {n}" for n in shown)
    fewest = numbers.significant(limits.t(shown[-1], max(0, count - 2)), 3)
    cells = count * len(race.seeds)
    return (
        f"race on {race.metric} ({race.direction} is better), {race.dataset}: {count} candidates, {len(race.seeds)} "
        f"seeds planned, at most {race.most_seeds} of one; looks after each seed from {FIRST_LOOK} on\n"
        f"  error {100 * race.error:g}%: of dropping a candidate than which none is better, over all looks\n"
        f"  dropped at t ≥ {needed} seeds while all {count} are left; ≥ {fewest} after {shown[-1]} with two left\n"
        f"  cost: from {FIRST_LOOK * count} cells ({numbers.count(least_images(race))} images) to the full plan, "
        f"{cells} cells ({numbers.count(planned_images(race))} images), never more"
    )


def plan_data(race: PlannedRace) -> dict[str, Any]:
    """Return the same for programs."""
    limits, count = boundaries(race), len(race.candidates)
    return {
        "metric": race.metric,
        "direction": race.direction,
        "dataset": race.dataset,
        "error": race.error,
        "candidates": [candidate.name for candidate in race.candidates],
        "seeds": race.seeds,
        "most_seeds": race.most_seeds,
        "least_cells": FIRST_LOOK * count,
        "most_cells": count * len(race.seeds),
        "least_images": least_images(race),
        "most_images": planned_images(race),
        "looks": [
            {"seeds": n, "level": limits.level(), "t": limits.t(n)} for n in range(FIRST_LOOK, race.most_seeds + 1)
        ],
    }


def drop_text(race: PlannedRace, found: RaceLook, drop: RaceDrop) -> str:
    """Return when and why a candidate was dropped."""
    when = f"after {found.seeds} seeds"
    if drop.cause == "failing":
        return f"{when} as failing: {drop.failures} of them have no {race.metric}, and {MOST_FAILURES} may lack it"
    return (
        f"{when} by {race.metric}, {numbers.with_error(abs(drop.difference or 0.0), drop.standard_error)} worse than "
        f"{drop.than} over {drop.seeds} pairs (p = {numbers.significant(drop.p_value or 0.0, 2)}, "
        f"boundary {numbers.significant(drop.level or 0.0, 2)})"
    )


def look_text(race: PlannedRace, looks: Sequence[RaceLook]) -> str:
    """Return what the last of these looks has decided."""
    found, left = looks[-1], left_after(race, looks)
    gone = "; ".join(f"{drop.candidate}, {drop_text(race, found, drop)}" for drop in found.drops)
    state = f"race: {len(left)} of {len(race.candidates)} left after {found.seeds} seeds"
    return f"{state}; dropped: {gone}" if gone else state


def end_text(race: PlannedRace, looks: Sequence[RaceLook]) -> str:
    """Return how a race has ended."""
    left, seeds = left_after(race, looks), looks[-1].seeds if looks else 0
    if len(left) == 1:
        return f"the race was decided after {seeds} seeds: {left[0]} is the only candidate left"
    if not left:
        return f"the race ended after {seeds} seeds: every candidate failed"
    why = "the most that a candidate gets" if seeds >= race.most_seeds else "the budget of the plan is spent"
    return f"the race ended after {seeds} seeds, {why}: undecided between {', '.join(left)}"


def summary_text(race: PlannedRace, looks: Sequence[RaceLook]) -> str:
    """Return the state of a race and what it has cost, in one sentence."""
    share = spent_images(race, looks) / planned_images(race)
    cost = f"{100 * share:.0f} % of the images of the full plan"
    state = (
        end_text(race, looks)
        if not next_places(race, looks)
        else f"{len(left_after(race, looks))} candidates left so far"
    )
    return f"race on {race.metric}, error {100 * race.error:g}%, {race.dataset}: {state}; {cost}"


def summaries(contents: RunContents) -> list[str]:
    """Return `summary_text` of each race of a run."""
    return [] if contents.race is None else [*map(summary_text, contents.record.races, contents.race.looks)]


def described_races(contents: RunContents) -> list[dict[str, Any]]:
    """Return each race of a run with all of its looks, as plain data with sentences."""
    looks_of = contents.race.looks if contents.race is not None else []
    return [
        {
            **plan_data(race),
            "summary": summary_text(race, looks),
            "decisions": [look_text(race, looks[: number + 1]) for number in range(len(looks))],
            "left": left_after(race, looks),
            "images": spent_images(race, looks),
            "decided": msgspec.to_builtins(looks),
        }
        for race, looks in zip(contents.record.races, looks_of, strict=False)
    ]


def outcomes(contents: RunContents) -> Mapping[str, str]:
    """Return by id of a cell what became of its candidate; cells that no race is about are not in it."""
    found: dict[str, str] = {}
    for race, looks in zip(contents.record.races, contents.race.looks if contents.race else (), strict=False):
        when = {drop.candidate: (one, drop) for one in looks for drop in one.drops}
        left = left_after(race, looks)
        for candidate in race.candidates:
            if candidate.name in when:
                one, drop = when[candidate.name]
                text = f"dropped after {one.seeds} seeds: {drop.cause}" + (f" than {drop.than}" if drop.than else "")
            else:
                text = "the only one left" if len(left) == 1 else f"one of {len(left)} left"
            found |= dict.fromkeys(candidate.cells, text)
    if contents.race is not None:
        found |= _of_added(contents.record, contents.race.added, found)
    return found


def _of_added(record: RunRecord, added: Sequence[PlannedCell], found: Mapping[str, str]) -> dict[str, str]:
    """Return the outcomes of cells that the race has added: those of the planned cells of the same candidate."""
    known = {key_without_seed(cell.identity): found[cell.id] for cell in record.cells if cell.id in found}
    own = {cell.id: key_without_seed(cell.identity) for cell in added}
    return {id: known[key] for id, key in own.items() if key in known}
