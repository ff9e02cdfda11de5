"""From measurements to findings: what deserves attention, how severe it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genbench.builtin.datasets.folder import named_after_splits
from genbench.datacheck.check import Measured
from genbench.datacheck.duplicates import DuplicateGroup
from genbench.datacheck.scan import FileFacts, Scan

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
_REMOVE_DUPLICATES = "Keep one of each; --sheet shows them side by side, --json lists them all."


@dataclass(frozen=True)
class Finding:
    """One issue that deserves attention."""

    severity: Severity  # problem: misleading results, or no training; warning: suspicious; note: good to know
    code: str  # stable, for programs
    text: str
    cure: str
    examples: tuple[str, ...] = ()  # the names of all images or files concerned


def findings(measured: Measured) -> list[Finding]:
    """Return all findings, the most severe first."""
    rules = (_readability, _dataset_size, _duplicates, _classes, _files, _image_statistics)
    found = [finding for rule in rules for finding in rule(measured)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def suspects(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings more severe than a note."""
    return [finding for finding in found if finding.severity != "note"]


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, as in '1 image', '2,000 images'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _readability(measured: Measured) -> Iterator[Finding]:
    scan = measured.scan
    if scan.unreadable:
        lines = tuple(f"{name} ({reason})" for name, reason in scan.unreadable)
        text = f"{counted(len(lines), 'file')} cannot be read"
        yield Finding("problem", "unreadable", text, "Replace or delete them: training skips them.", lines)
    if scan.notes:
        yield Finding("note", "source-notes", "notes from the source", "", scan.notes)
    if scan.files and scan.files.unsupported:
        lines = scan.files.unsupported
        text = f"{counted(len(lines), 'image')} with an unsupported suffix"
        cure = "Rename them, for example to .jpg or .png: training ignores them."
        yield Finding("warning", "unread-suffix", text, cure, lines)


def _dataset_size(measured: Measured) -> Iterator[Finding]:
    train, limits = measured.scan.train, measured.thresholds
    text = f"{counted(train, 'training image')}"
    if len(measured.scan) < 2:
        text = f"{counted(len(measured.scan), 'readable image')}"
        yield Finding("problem", "too-few", text, "Add more: training and held-out data need at least two.")
    elif train < limits.few:
        cure = "Add more, or start from trained weights (--init-from): a model memorises so few."
        yield Finding("warning", "few-images", f"only {text}", cure)
    elif train < limits.small:
        cure = "A discriminator memorises so few images"
        cure += "." if measured.scan.points else ": try --augment-discriminator diffaugment and --augment-flip 0.5."
        yield Finding("note", "small-dataset", text, cure)


def _duplicates(measured: Measured) -> Iterator[Finding]:
    scan = measured.scan
    for groups, near in ((measured.exact or (), False), (measured.near or (), True)):
        how, code = ("nearly identical to", "near-duplicates") if near else ("identical to", "duplicates")
        across = [group for group in groups if group.across_splits]
        if across:
            leaked = {image for group in across for image in group.images if scan.held_out[image]}
            text = f"{counted(len(leaked), 'held-out image')} {how} training images"
            cure = f"Metrics on held-out images would be too optimistic. {_REMOVE_DUPLICATES}"
            yield Finding("warning" if near else "problem", f"{code}-across-splits", text, cure, _named(scan, across))
        within = [group for group in groups if not group.across_splits]
        if within:
            extra = sum(len(group.images) - 1 for group in within)
            text = f"{counted(extra, 'image')} {how} others ({counted(len(within), 'group')})"
            yield Finding("warning", code, text, _REMOVE_DUPLICATES, _named(scan, within))
        conflicting = [group for group in groups if group.labels_differ]
        if conflicting:
            what = "near duplicates" if near else "duplicates"
            text = f"{counted(len(conflicting), 'group')} of {what} with different labels"
            cure = "Decide which label is right: a conditional model would be given both."
            yield Finding("warning", f"{code}-labelled-differently", text, cure, _named(scan, conflicting))


def _classes(measured: Measured) -> Iterator[Finding]:
    facts, limits, files = measured.balance, measured.thresholds, measured.scan.files
    if files and files.stray:
        text = f"{counted(len(files.stray), 'image')} outside the sub-folders, so there are no classes"
        cure = "If the sub-folders are classes, move each image into the one it belongs to."
        yield Finding("warning", "stray-images", text, cure, _names(measured.scan, files.stray))
    if facts is None:
        return
    names = [one.name for one in facts.classes]
    if files and named_after_splits(names):
        cure = (
            f"If they are splits with a sub-folder for each class, write image-folder:{measured.scan.source}. "
            "Otherwise use one of them, or merge them: genbench chooses the held-out images itself."
        )
        yield Finding("warning", "split-folders", f"the sub-folders {', '.join(names)} are treated as classes", cure)
    empty = tuple(one.name for one in facts.classes if not one.train)
    if empty:
        text = f"{counted(len(empty), 'class', 'classes')} without a training image"
        yield Finding("warning", "empty-classes", text, "Add images: no model can learn these classes.", empty)
    few = tuple(f"{one.name} ({one.train})" for one in facts.classes if 0 < one.train < limits.few_in_class)
    if few:
        text = f"{counted(len(few), 'class', 'classes')} with fewer than {limits.few_in_class} training images"
        yield Finding("warning", "few-in-class", text, "Add images, or merge classes.", few)
    unseen = tuple(one.name for one in facts.classes if one.train and not one.test)
    if unseen:
        text = f"{counted(len(unseen), 'class', 'classes')} without a held-out image"
        cure = "Give each class at least five images: metrics on held-out images do not cover these classes."
        yield Finding("note", "class-not-held-out", text, cure, unseen)
    if facts.ratio is not None and facts.ratio > limits.imbalance:
        text = f"the largest class has {facts.ratio:.1f} times as many training images as the smallest"
        cure = (
            f"As diverse as {facts.effective_classes:.1f} of {len(names)} equal classes: add images to the small ones."
        )
        yield Finding("warning", "class-imbalance", text, cure)
    if facts.brightness_explained is not None and facts.brightness_explained > limits.brightness_explained:
        text = f"brightness differs by class: the class explains {facts.brightness_explained:.0%} of its variance"
        cure = "Harmless where the objects differ; where the lighting or the scanner does, models learn just that."
        yield Finding("note", "brightness-by-class", text, cure)


def _files(measured: Measured) -> Iterator[Finding]:
    scan, files, limits = measured.scan, measured.scan.files, measured.thresholds
    if files is None or not len(scan):
        return
    shorter = np.minimum(scan.widths, scan.heights)
    longer = np.maximum(scan.widths, scan.heights)
    small = np.flatnonzero(shorter < files.size)
    if len(small):
        text = f"{counted(len(small), 'image')} smaller than the {files.size} pixels used in training"
        cure = "They would be enlarged and blurred; choose a smaller --set folder.size, or remove them."
        yield Finding("warning", "smaller-than-target", text, cure, _sized(scan, small.tolist()))
    odd = np.maximum(shorter / np.median(shorter), np.median(shorter) / shorter) > limits.odd_size
    if odd.any():
        text = f"{counted(int(odd.sum()), 'image')} with unusual sizes"
        cure = "Check whether they belong here: previews and scans often differ."
        yield Finding("note", "odd-sizes", text, cure, _sized(scan, np.flatnonzero(odd).tolist()))
    elongated = np.flatnonzero(longer >= limits.elongated * shorter)
    if len(elongated):
        text = f"{counted(len(elongated), 'image')} so elongated that the centre crop keeps at most half"
        yield Finding("note", "elongated", text, "Crop them yourself.", _sized(scan, elongated.tolist()))
    yield from _formats(scan, files)


def _formats(scan: Scan, files: FileFacts) -> Iterator[Finding]:
    if files.misnamed:
        lines = tuple(f"{scan.names[image]} ({content})" for image, content in files.misnamed.items())
        text = f"{counted(len(lines), 'file')} with the suffix of another format"
        yield Finding("note", "wrong-suffix", text, "genbench reads them; other programs may not.", lines)
    grey = np.flatnonzero(scan.fingerprints.grey)
    if files.channels == 3 and 0 < len(grey) < len(scan):
        text = f"{counted(len(grey), 'image')} of {len(scan):,} without colour"
        cure = "A model will generate such images too; remove them, or train in grey with --set folder.channels=1."
        yield Finding("note", "mixed-colour", text, cure, _names(scan, grey.tolist()))
    if files.transparent:
        text = f"{counted(len(files.transparent), 'image')} with transparency"
        cure = "Transparent parts become white; fill them yourself if you want another colour."
        yield Finding("note", "transparency", text, cure, _names(scan, files.transparent))
    if files.animated:
        text = f"{counted(len(files.animated), 'animation')}"
        yield Finding("note", "animated", text, "Only the first frame is read.", _names(scan, files.animated))
    deep = sum(count for mode, count in files.modes.items() if mode == "I" or mode.startswith("I;16"))
    if deep:
        text = f"{counted(deep, 'image')} with 16 bits per channel"
        yield Finding("note", "sixteen-bit", text, "They are reduced to 8 bits.")


def _image_statistics(measured: Measured) -> Iterator[Finding]:
    scan = measured.scan
    if measured.blank:
        text = f"{counted(len(measured.blank), 'blank image')}"
        cure = "Remove them: they show nothing."
        yield Finding("warning", "blank", text, cure, _names(scan, measured.blank))
    for name, few, many in (("brightness", "darker", "brighter"), ("contrast", "lower", "higher")):
        chosen = [outlier for outlier in measured.outliers if outlier.measure == name]
        if chosen:
            low = sum(outlier.z < 0 for outlier in chosen)
            sides = [f"{count:,} {side}" for count, side in ((low, few), (len(chosen) - low, many)) if count]
            text = f"{counted(len(chosen), 'image')} with unusual {name}: {', '.join(sides)}"
            lines = tuple(f"{scan.names[o.image]} ({o.value:.0f}, z = {o.z:+.1f})" for o in chosen)
            yield Finding("note", f"{name}-outliers", text, "Inspect them: --sheet shows the most extreme ones.", lines)


def _names(scan: Scan, images: Iterable[int]) -> tuple[str, ...]:
    return tuple(scan.names[image] for image in images)


def _named(scan: Scan, groups: Iterable[DuplicateGroup]) -> tuple[str, ...]:
    return tuple((" = " if group.similarity == 1 else " ≈ ").join(_names(scan, group.images)) for group in groups)


def _sized(scan: Scan, images: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{scan.names[image]} ({scan.widths[image]}×{scan.heights[image]})" for image in images)
