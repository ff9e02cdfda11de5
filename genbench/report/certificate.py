"""The certificate of an extractor and the acceptance of its fast path, as text."""

from __future__ import annotations

from genbench.gate.extractor_acceptance import TOLERANCE, Acceptance
from genbench.gate.extractor_certificate import Certificate, CorruptionSeries
from genbench.report.numbers import count, significant, with_error
from genbench.report.table.layout import clean


def certificate_text(certificate: Certificate) -> str:
    """Return floor, ladders and verdicts."""
    floor = certificate.floor
    optional = [
        f"{what} {significant(value, 3)}"
        for what, value in (("debiased", floor.debiased), ("perfect generator", floor.null))
        if value is not None
    ]
    lines = [
        f"{clean(certificate.extractor)} on {clean(certificate.dataset)}: {clean(floor.metric)} of "
        f"{count(floor.n)} held-out images",
        "",
        f"floor  {'; '.join([with_error(floor.value, floor.standard_error), *optional])}",
    ]
    for ladder in certificate.ladders:
        lines += ["", *_ladder(ladder)]
    lines += ["", *(f"note: {clean(note)}" for note in certificate.notes), f"verdict: {certificate.verdict}"]
    return "\n".join(lines) + "\n"


def acceptance_text(found: Acceptance) -> str:
    """Return the difference and its tolerance, both distances, the speedup and the verdict."""
    path = " and ".join([found.precision, *(["compiled"] if found.compiled else [])])
    return (
        f"{clean(found.extractor)} in {path} on {clean(found.dataset)}, {count(found.n)} held-out images\n\n"
        f"difference  {significant(found.difference, 3)} between fast and exact features\n"
        f"tolerance   {significant(found.tolerated, 3)} "
        f"({TOLERANCE:g} × the standard error {significant(found.standard_error, 3)})\n"
        f"distance    {significant(found.distance)} exact, {significant(found.fast_distance)} fast\n"
        f"speed       {significant(found.speedup, 3)} times as fast on this {found.device}\n\n"
        f"{'accepted' if found.accepted else 'not accepted'}\n"
    )


def _ladder(ladder: CorruptionSeries) -> list[str]:
    lines = [f"{ladder.name} ({ladder.unit}): {ladder.verdict}"]
    for rung in ladder.rungs:
        step = ""
        if rung.step is not None:
            step = f"  {'+' if rung.step >= 0 else ''}{with_error(rung.step, rung.step_error)}"
        value = with_error(rung.value, rung.standard_error)
        lines.append(f"  {rung.severity:<6g} {value:>18}{step}")
    return lines
