"""From measurements to findings: what deserves a look, how much it matters, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genbench.datacheck.check import Measured
from genbench.datacheck.duplicates import Copies
from genbench.datacheck.survey import FileFacts, Survey

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "eval"}
_CLEAN_UP = "Keep one of each; --sheet shows them side by side, --json names them all."


@dataclass(frozen=True)
class Finding:
    """One thing that deserves a look."""

    severity: Severity  # problem: numbers would mislead, or nothing trains; warning: a suspect; note: good to know
    code: str  # stable, for programs
    text: str
    cure: str
    examples: tuple[str, ...] = ()  # every image or file concerned, by name


def findings(measured: Measured) -> list[Finding]:
    """Return everything that deserves a look, what matters most first."""
    rules = (_reading, _amount, _copies, _classes, _files, _pictures)
    found = [finding for rule in rules for finding in rule(measured)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def suspects(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are more than a note."""
    return [finding for finding in found if finding.severity != "note"]


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, as in '1 image', '2,000 images'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _reading(measured: Measured) -> Iterator[Finding]:
    survey = measured.survey
    if survey.unreadable:
        lines = tuple(f"{name} ({reason})" for name, reason in survey.unreadable)
        text = f"{counted(len(lines), 'file')} cannot be read"
        yield Finding("problem", "unreadable", text, "Replace or delete them: training skips them.", lines)
    if survey.notes:
        yield Finding("note", "source-notes", "the source says", "", survey.notes)
    if survey.files and survey.files.unread:
        lines = tuple(f"{name} ({content})" for name, content in survey.files.unread)
        text = f"{counted(len(lines), 'image')} under a suffix that is not read"
        cure = "Rename them, to .jpg or .png say: training passes over them."
        yield Finding("warning", "unread-suffix", text, cure, lines)


def _amount(measured: Measured) -> Iterator[Finding]:
    train, limits = measured.survey.train, measured.thresholds
    text = f"{counted(train, 'training image')}"
    if len(measured.survey) < 2:
        text = f"{counted(len(measured.survey), 'readable image')}"
        yield Finding("problem", "too-few", text, "Add more: training and held-out data need two at least.")
    elif train < limits.few:
        cure = "Add more, or start from trained weights (--init-from): a model would memorise so few."
        yield Finding("warning", "few-images", f"only {text}", cure)
    elif train < limits.small:
        cure = "A discriminator memorises so few"
        cure += "." if measured.survey.points else ": try --augment-discriminator diffaugment and --augment-flip 0.5."
        yield Finding("note", "small-dataset", text, cure)


def _copies(measured: Measured) -> Iterator[Finding]:
    survey = measured.survey
    for groups, near in ((measured.exact or (), False), (measured.near or (), True)):
        how, code = ("nearly the same as", "near-duplicates") if near else ("the same as", "duplicates")
        across = [group for group in groups if group.across_splits]
        if across:
            leaked = {image for group in across for image in group.images if survey.held_out[image]}
            text = f"{counted(len(leaked), 'held-out image')} {how} training images"
            cure = f"What is measured on held-out images flatters the model. {_CLEAN_UP}"
            yield Finding("warning" if near else "problem", f"{code}-across-splits", text, cure, _named(survey, across))
        within = [group for group in groups if not group.across_splits]
        if within:
            extra = sum(len(group.images) - 1 for group in within)
            text = f"{counted(extra, 'image')} {how} others ({counted(len(within), 'group')})"
            yield Finding("warning", code, text, _CLEAN_UP, _named(survey, within))
        conflicting = [group for group in groups if group.labels_differ]
        if conflicting:
            what = "near copies" if near else "copies"
            text = f"{counted(len(conflicting), 'group')} of {what} with different labels"
            cure = "Decide which label is right: a conditional model is told both."
            yield Finding("warning", f"{code}-labelled-differently", text, cure, _named(survey, conflicting))


def _classes(measured: Measured) -> Iterator[Finding]:
    facts, limits, files = measured.balance, measured.thresholds, measured.survey.files
    if files and files.stray:
        text = f"{counted(len(files.stray), 'image')} outside the sub-folders, so that there are no classes"
        cure = "Move them into a sub-folder each belongs to, if the sub-folders are classes."
        yield Finding("warning", "stray-images", text, cure, _names(measured.survey, files.stray))
    if facts is None:
        return
    names = [one.name for one in facts.classes]
    if files and len(names) <= 4 and {name.lower() for name in names} <= _SPLIT_NAMES:
        cure = "Point at one of them, or merge them: the held-out images are chosen by genbench."
        yield Finding("warning", "split-folders", f"the sub-folders {', '.join(names)} are taken for classes", cure)
    empty = tuple(one.name for one in facts.classes if not one.train)
    if empty:
        text = f"{counted(len(empty), 'class', 'classes')} without a training image"
        yield Finding("warning", "empty-classes", text, "A conditional model never sees them: add images.", empty)
    few = tuple(f"{one.name} ({one.train})" for one in facts.classes if 0 < one.train < limits.few_in_class)
    if few:
        text = f"{counted(len(few), 'class', 'classes')} with less than {limits.few_in_class} training images"
        yield Finding("warning", "few-in-class", text, "Add images, or merge classes.", few)
    unseen = tuple(one.name for one in facts.classes if one.train and not one.test)
    if unseen:
        text = f"{counted(len(unseen), 'class', 'classes')} without a held-out image"
        cure = "Give each class five images at least: what is measured on held-out images says nothing of these."
        yield Finding("note", "class-not-held-out", text, cure, unseen)
    if facts.ratio is not None and facts.ratio > limits.imbalance:
        text = f"the largest class has {facts.ratio:.1f} times the training images of the smallest"
        cure = f"Classes count as {facts.effective_classes:.1f} of {len(names)}: add to the small ones, or thin out."
        yield Finding("warning", "class-imbalance", text, cure)
    if facts.brightness_explained is not None and facts.brightness_explained > limits.brightness_explained:
        text = f"classes differ in brightness: it explains {facts.brightness_explained:.0%} of the variance"
        cure = "Fine where the things themselves differ; where it is the light or the scanner, models learn just that."
        yield Finding("note", "brightness-by-class", text, cure)


def _files(measured: Measured) -> Iterator[Finding]:
    survey, files, limits = measured.survey, measured.survey.files, measured.thresholds
    if files is None or not len(survey):
        return
    shorter = np.minimum(survey.widths, survey.heights)
    longer = np.maximum(survey.widths, survey.heights)
    small = np.flatnonzero(shorter < files.size)
    if len(small):
        text = f"{counted(len(small), 'image')} smaller than the {files.size} pixels that training would see"
        cure = "They would be enlarged and blurred; choose a smaller --set folder.size, or leave them out."
        yield Finding("warning", "smaller-than-target", text, cure, _sized(survey, small.tolist()))
    odd = np.maximum(shorter / np.median(shorter), np.median(shorter) / shorter) > limits.odd_size
    if odd.any():
        text = f"{counted(int(odd.sum()), 'image')} of a size far from the others'"
        cure = "Look whether they belong here: previews and scans often differ."
        yield Finding("note", "odd-sizes", text, cure, _sized(survey, np.flatnonzero(odd).tolist()))
    elongated = np.flatnonzero(longer >= limits.elongated * shorter)
    if len(elongated):
        text = f"{counted(len(elongated), 'image')} so elongated that the centred square keeps at most half"
        yield Finding("note", "elongated", text, "Crop them yourself.", _sized(survey, elongated.tolist()))
    yield from _formats(survey, files)


def _formats(survey: Survey, files: FileFacts) -> Iterator[Finding]:
    if files.misnamed:
        lines = tuple(f"{survey.names[image]} ({content})" for image, content in files.misnamed.items())
        text = f"{counted(len(lines), 'file')} with the suffix of another format"
        yield Finding("note", "wrong-suffix", text, "They are read all the same; other programs may not.", lines)
    grey = np.flatnonzero(survey.fingerprints.grey)
    if files.channels == 3 and 0 < len(grey) < len(survey):
        text = f"{counted(len(grey), 'image')} of {len(survey):,} without colour"
        cure = "A model will make such images too; leave them out, or train in grey with --set folder.channels=1."
        yield Finding("note", "mixed-colour", text, cure, _names(survey, grey.tolist()))
    if files.transparent:
        text = f"{counted(len(files.transparent), 'image')} with transparency"
        cure = "Transparent parts become white; fill them yourself if that is wrong."
        yield Finding("note", "transparency", text, cure, _names(survey, files.transparent))
    if files.animated:
        text = f"{counted(len(files.animated), 'animation')}"
        yield Finding("note", "animated", text, "Only the first frame is read.", _names(survey, files.animated))
    deep = sum(count for mode, count in files.modes.items() if mode == "I" or mode.startswith("I;16"))
    if deep:
        yield Finding("note", "sixteen-bit", f"{counted(deep, 'image')} of 16 bits", "They are reduced to 8 bits.")


def _pictures(measured: Measured) -> Iterator[Finding]:
    survey = measured.survey
    if measured.blank:
        text = f"{counted(len(measured.blank), 'blank image')}"
        cure = "Leave them out: they show nothing."
        yield Finding("warning", "blank", text, cure, _names(survey, measured.blank))
    for name, few, many in (("brightness", "darker", "brighter"), ("contrast", "flatter", "harsher")):
        chosen = [outlier for outlier in measured.outliers if outlier.measure == name]
        if chosen:
            low = sum(outlier.z < 0 for outlier in chosen)
            sides = [f"{count:,} {side}" for count, side in ((low, few), (len(chosen) - low, many)) if count]
            text = f"{counted(len(chosen), 'image')} far from the others in {name}: {', '.join(sides)}"
            lines = tuple(f"{survey.names[o.image]} ({o.value:.0f}, z = {o.z:+.1f})" for o in chosen)
            yield Finding("note", f"{name}-outliers", text, "Look at them: --sheet shows the farthest.", lines)


def _names(survey: Survey, images: Iterable[int]) -> tuple[str, ...]:
    return tuple(survey.names[image] for image in images)


def _named(survey: Survey, groups: Iterable[Copies]) -> tuple[str, ...]:
    return tuple((" = " if group.similarity == 1 else " ≈ ").join(_names(survey, group.images)) for group in groups)


def _sized(survey: Survey, images: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{survey.names[image]} ({survey.widths[image]}×{survey.heights[image]})" for image in images)
