"""Generate docs/reference.md, the public API, from docstrings, signatures, comments on fields and examples of hooks.

python scripts/write_reference.py
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import genbench
from genbench import errors, testing
from genbench.api import evaluation, hookspecs, images, jobs, options, restriction, shape_rule, specs, training
from genbench.commands import (
    archive,
    board,
    cell,
    check_run,
    details,
    distance,
    load,
    measure,
    plan,
    printed,
    results,
    run,
    sample,
    table,
)
from genbench.commands.checks import extractors as extractor_checks
from genbench.commands.checks import images as image_checks
from genbench.commands.checks import machine as machine_checks
from genbench.commands.comparisons import baseline, history, judgement, seeds
from genbench.commands.first_steps import error_codes
from genbench.commands.plugins import conformance, creation, description, installed
from genbench.commands.tuning import cost, tune, tuning
from genbench.commands.versions import calibration, live
from genbench.gate import contrasts, judge, samples
from genbench.gate import history as gate_history
from genbench.imagesets import measured
from genbench.report.board import site
from genbench.runner import node as node_of_a_job
from genbench.testing import pytest_tests

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reference.md"
HOOK_EXAMPLES = DOCS / "examples" / "hooks"
INTRODUCTION = f"""\
# The public API

<!-- not run on this page: signatures, and the examples of hooks, which tests/docs/test_hooks_page.py runs -->

Everything that a plugin imports from `genbench` and, for its tests, from `genbench.testing`, and what notebooks and
scripts call; nothing else is public. [Writing a plugin](plugins.md) and [genbench from Python](python.md) explain how
to use it. This page is generated from the code:
`python scripts/write_reference.py`.

`API_VERSION` is the version of the API, currently {hookspecs.API_VERSION}. A plugin declares the version that it needs:
`requires_api = "{hookspecs.API_VERSION}"`.
"""
SECTIONS = {  # module -> heading
    specs: "Specs",
    options: "Options",
    restriction: "Restrictions",
    shape_rule: "Image shapes by rule",
    images: "Images",
    training: "Training",
    evaluation: "Evaluation",
    jobs: "Executors",
    node_of_a_job: "Jobs on a node",
    run: "Running",
    plan: "Planning",
    load: "Reading results",
    results: "Results",
    cell: "Cells",
    table: "Tables",
    tune: "Tuning",
    cost: "Planning a tuning",
    tuning: "Results of a tuning",
    archive: "Archives",
    board: "The board",
    site: "What a board was made from",
    measure: "Measuring later",
    sample: "Drawing images",
    printed: "What functions return",
    details: "Details of a run",
    judgement: "Verdicts on stored results",
    judge: "What a verdict consists of",
    baseline: "Baselines",
    seeds: "Statistics over seeds",
    contrasts: "Pairs of cells",
    samples: "Values over seeds",
    history: "History",
    gate_history: "What a history consists of",
    check_run: "Checking submitted runs",
    live: "Two versions of the code",
    calibration: "Calibration",
    installed: "What is installed",
    description: "Describing plugins",
    creation: "Creating plugins",
    conformance: "Checking plugins",
    machine_checks: "The machine",
    image_checks: "Checking images",
    extractor_checks: "Checking extractors",
    distance: "Distances between image sets",
    measured: "What a comparison of image sets returns",
    errors: "Errors",
    error_codes: "Codes of errors",
    testing: "Tests",
}
HOOK_MARKER = "`hookimpl` marks a function as the implementation of a hook: `@genbench.hookimpl`.\n"
# Described here, but not exported: the bases of specs, and what functions return.
PARTS_OF = {
    specs: ("Spec", "ConfigurableSpec"),
    results: ("WrittenFiles",),
    sample: ("Samples",),
    printed: ("Printable",),
    details: ("RunDetails",),
    judgement: ("Judgement",),
    judge: ("Finding",),
    baseline: ("BaselineUpdate",),
    seeds: ("CellComparison", "MethodComparison", "PowerForecast"),
    contrasts: ("Contrast", "Ranking"),
    samples: ("Sample",),
    history: ("History",),
    gate_history: ("TimeSeries", "Point", "Change"),
    check_run: ("RunCheck",),
    live: ("VersionComparison",),
    calibration: ("Calibrations",),
    installed: ("Catalogue", "InstalledPlugins"),
    description: ("PluginDescription",),
    creation: ("NewPlugin",),
    error_codes: ("ErrorCodes", "ErrorCode"),
    conformance: ("PluginCheck",),
    machine_checks: ("MachineCheck", "MachineDescription"),
    image_checks: ("ImageCheck",),
    extractor_checks: ("ExtractorCertificate", "ExtractorAcceptance"),
}


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [INTRODUCTION, "## Hooks\n", HOOK_MARKER]
    parts += [_hook(node) for node in _public(hookspecs) if node.name.startswith("genbench_")]
    for module, heading in _sections().items():
        parts.append(f"## {heading}\n")
        source = pytest_tests if module is testing else module
        names = {*testing.__all__} if module is testing else {*genbench.__all__, *PARTS_OF.get(module, ())}
        comments = _comments(inspect.getsource(source))
        parts += _aliases(source, comments)
        for node in _public(source):
            if node.name in names:
                parts.append(_class(node, comments) if isinstance(node, ast.ClassDef) else _function(node))
    return "\n".join(parts)


def _sections() -> dict[ModuleType, str]:
    """Return the modules of public names with a heading; by default, the beginning of the module's docstring."""
    names = {str(getattr(getattr(genbench, name), "__module__", "")) for name in genbench.__all__}
    modules = [sys.modules[name] for name in sorted(names) if name.startswith("genbench.")]
    others = {module: re.split(r"[:.]", module.__doc__ or "", maxsplit=1)[0] for module in modules}
    return {**SECTIONS, **{module: heading for module, heading in others.items() if module not in SECTIONS}}


Definition = ast.ClassDef | ast.FunctionDef


class Comments(NamedTuple):
    """The comments of a module by line: at the end of a line of code, and on a line of their own."""

    trailing: dict[int, str]
    standalone: dict[int, str]


def _public(module: ModuleType) -> Iterator[Definition]:
    tree = ast.parse(inspect.getsource(module))
    return (node for node in tree.body if isinstance(node, Definition))


def _class(node: ast.ClassDef, comments: Comments) -> str:
    bases = [ast.unparse(base) for base in node.bases]
    shown = [base for base in bases if base not in ("Protocol", "NamedTuple", "Exception", "IntEnum")]
    more = f" Subclass of {' and '.join(f'`{base}`' for base in shown)}." if shown else ""
    parts = [f"### `{node.name}`\n", _doc(node) + ("\n\n" + more.strip() if more else "") + "\n"]
    fields = [
        part for part in node.body if isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_")
    ]
    if fields:
        rows = [_row(field, comments) for field in fields]
        parts.append("| field | type | default | |\n|---|---|---|---|\n" + "".join(rows))
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")]
    parts += map(_method, methods)
    return "\n".join(parts)


def _row(field: ast.AnnAssign, comments: Comments) -> str:
    default = "" if field.value is None else ast.unparse(field.value)
    made = re.fullmatch(r"field\(default_factory=(\w+)\)", default)
    default = {"dict": "{}", "list": "[]"}[made[1]] if made else default
    above: list[str] = []
    line = field.lineno - 1
    while line in comments.standalone:
        above.insert(0, comments.standalone[line])
        line -= 1
    text = _escape(" ".join([*above, *filter(None, [comments.trailing.get(field.end_lineno or 0)])]))
    cells = [
        f"`{ast.unparse(field.target)}`",
        f"`{ast.unparse(field.annotation)}`",
        f"`{default}`" if default else "",
        text,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _method(node: ast.FunctionDef) -> str:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        result = f": `{ast.unparse(node.returns)}`" if node.returns else ""
        return f"**`{node.name}`**{result}: {_doc(node)}\n"
    return f"**`{node.name}({_arguments(node)}){_result(node)}`**: {_doc(node)}\n"


def _hook(node: Definition) -> str:
    example = HOOK_EXAMPLES / f"{node.name.removeprefix('genbench_')}.py"
    return f"{_function(node)}\n```python\n{example.read_text(encoding='utf-8')}```\n"


def _function(node: Definition) -> str:
    assert isinstance(node, ast.FunctionDef)
    return f"### `{node.name}`\n\n```python\n{node.name}({_arguments(node)}){_result(node)}\n```\n\n{_doc(node)}\n"


def _arguments(node: ast.FunctionDef) -> str:
    return re.sub(r"^self(, )?", "", ast.unparse(node.args))


def _result(node: ast.FunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns else ""


def _doc(node: Definition) -> str:
    """Return the docstring as Markdown; an example becomes a code block, `Args:` a list."""
    text = (ast.get_docstring(node) or "").replace("``", "`")
    blocks = []
    for block in text.split("\n\n"):
        if block.startswith(">>>"):
            blocks.append(f"```pycon\n{block}\n```")
        elif block.startswith("Args:"):
            entries = re.findall(r"^    (\w+): ((?:.+\n?)(?:^        .+\n?)*)", block, flags=re.MULTILINE)
            blocks.append("\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in entries))
        else:
            blocks.append(block)
    return "\n\n".join(blocks)


def _comments(source: str) -> Comments:
    found = Comments({}, {})
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            table = found.trailing if token.line[: token.start[1]].strip() else found.standalone
            table[token.start[0]] = token.string.lstrip("# ")
    return found


def _aliases(module: ModuleType, comments: Comments) -> Iterator[str]:
    """Yield a line for each type alias of a module."""
    for node in ast.parse(inspect.getsource(module)).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and re.fullmatch(r"([A-Z][a-z]+)+", target.id):
            comment = comments.trailing.get(node.end_lineno or 0)
            yield f"`{target.id}` is `{ast.unparse(node.value)}`{f': {_escape(comment)}' if comment else ''}.\n"  # type: ignore[attr-defined]


def _escape(text: str) -> str:
    """Escape `<` outside code, so that it is not taken for HTML."""
    return re.sub(r"`[^`]*`|<", lambda found: "\\<" if found[0] == "<" else found[0], text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
