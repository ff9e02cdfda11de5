"""Options of pythae's models, read from the source of its config classes.

Importing any module of pythae imports torch and all its models, which takes seconds, and plugins are loaded whenever
genbench makes a plan. So the classes are parsed, not imported: names, types and defaults come from their annotated
fields, one line of help each from their docstrings. Fields without a literal type and value cannot be options.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import types
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Union

import genbench

NOT_OPTIONS = ("name", "input_dim", "latent_dim", "discriminator_input_dim")  # set by genbench
SAVED = "uses_default_"  # such fields control how pythae saves its own files
UNDOCUMENTED = "as in pythae, which does not document it"
PLAIN_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


@functools.cache
def config_classes() -> Mapping[str, ast.ClassDef]:
    """Return the config classes of the installed pythae by name; raise `GenbenchError` if it is not installed."""
    found = find_spec("pythae")
    if found is None or not found.submodule_search_locations:
        raise genbench.GenbenchError("pythae is not installed.", "Install it: pip install pythae")
    root = Path(next(iter(found.submodule_search_locations)))
    files = [root / "config.py", *sorted(root.glob("models/*/*_config.py"))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def option_class(config: str, without: tuple[str, ...] = ()) -> type:
    """Return a frozen dataclass of options with the fields of pythae's class `config`, including inherited ones."""
    helps, types_, defaults = _help(config), {}, {}
    for name, annotation, value in _fields(config):
        if name not in (*NOT_OPTIONS, *without) and not name.startswith(SAVED):
            types_[name], defaults[name] = read_type(annotation), read_default(value)
    fields = [(name, types_[name], genbench.option(defaults[name], helps.get(name, UNDOCUMENTED))) for name in types_]
    return dataclasses.make_dataclass(f"{config}Options", fields, frozen=True, namespace={"__module__": __name__})


def default_latent_dim(config: str) -> int:
    """Return the config's default number of latents."""
    values = {name: value for name, _, value in _fields(config)}
    return int(read_default(values["latent_dim"]))


def read_type(annotation: ast.expr) -> Any:
    """Return the type that an annotation denotes; raise `GenbenchError` if options do not support it."""
    match annotation:
        case ast.Constant(value=None):
            return types.NoneType
        case ast.Name(id=name) if name in PLAIN_TYPES:
            return PLAIN_TYPES[name]
        case ast.Subscript(value=ast.Name(id="List"), slice=item):
            return types.GenericAlias(list, read_type(item))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return Literal[tuple(ast.literal_eval(choices))]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return Union[tuple(map(read_type, members))]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id="Optional"), slice=member):
            return read_type(member) | None
    raise genbench.GenbenchError(
        f"pythae declares an option of type {ast.unparse(annotation)}, which genbench-pythae cannot read.",
        "Use a version of pythae that it was tested with, or list the field in `without`.",
    )


def read_default(value: ast.expr | None) -> Any:
    """Return the default of a field: a literal, or the result of ``field(default_factory=lambda: …)``."""
    match value:
        case ast.Call(func=ast.Name(id="field"), keywords=[ast.keyword(value=ast.Lambda(body=body))]):
            return ast.literal_eval(body)
        case ast.expr():
            return ast.literal_eval(value)
    raise genbench.GenbenchError(
        "pythae declares an option without a default.", "Use a version that it was tested with."
    )


def _lineage(config: str) -> list[ast.ClassDef]:
    """Return the class and its bases, base classes first."""
    known = config_classes()
    if config not in known:
        raise genbench.GenbenchError(f"The installed pythae has no {config}.", "Install another version of pythae.")
    bases = [base.id for base in known[config].bases if isinstance(base, ast.Name) and base.id in known]
    return [ancestor for base in bases for ancestor in _lineage(base)] + [known[config]]


def _fields(config: str) -> Iterator[tuple[str, ast.expr, ast.expr | None]]:
    for declared in _lineage(config):
        for node in declared.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id, node.annotation, node.value


def _help(config: str) -> dict[str, str]:
    """Return each field's description from the docstrings, in one line, without the default, which options state."""
    helps: dict[str, str] = {}
    for declared in _lineage(config):
        text = " ".join((ast.get_docstring(declared) or "").split())
        for name, about in re.findall(r"(\w+)(?: \([^)]*\))?: (.*?)(?=\s\w+ \([^)]*\): |\s\w+_\w+: |$)", text):
            helps[name] = re.split(r"\s*Default\b", about)[0].rstrip(" .:")
    return helps
