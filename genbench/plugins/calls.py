"""Calling the functions of plugins: an error names the plugin's function, what was expected and what came, and where.

An exception that a plugin's code raises passes through unchanged, with a note on the function that was called. What
does not fit the contract becomes a `SpecError` with the line where the author defined the function.
"""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from genbench.errors import SpecError

_NOTE = "raised by "  # starts the note that a call adds to an exception
_SHOWN = 60  # characters of a value
_MODULE_CALL = str(Path("torch", "nn", "modules", "module.py"))  # calls `forward`


@dataclass(frozen=True)
class PluginFunction:
    """A function of a plugin that genbench calls, and how it is named in errors."""

    owner: str  # such as "loss 'hinge'"
    title: str  # how it is called, such as 'generator(fake_logits, real_logits)'
    function: Any
    fallback: Any = None  # whose definition is stated where that of the function is unknown
    explain: Callable[[Exception], SpecError | None] = lambda error: None  # a better error than the one raised

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call it; raise `SpecError` if it is no function, or does not accept these arguments."""
        return self.call(self.function, given, named)

    def call(self, function: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Call a function that stands in for it, such as a compiled one, in the same way."""
        if not callable(function):
            raise self.error(f"is {describe(function)}, not a function")
        try:
            return function(*given, **named)
        except Exception as error:
            if isinstance(error, TypeError) and _was_not_entered(error):
                raise self.error(f"cannot be called: {error}", f"It is called as {self.title}.") from error
            explained = self.explain(error)
            if explained is not None:
                raise explained from error
            add_origin(error, f"{self.title} of {self.owner}")
            raise

    def returned(self, came: object, expected: str, cure: str = "") -> SpecError:
        """Return the error for a result that does not fit the contract."""
        cure = f"Is a `return` missing? {cure}".strip() if came is None else cure
        return self.error(f"must return {expected}; it returned {describe(came)}", cure)

    def error(self, fault: str, cure: str = "") -> SpecError:
        """Return an error that names the function, and where it is defined."""
        place = defined_at(self.function) or defined_at(self.fallback)
        return SpecError(f"{self.owner[:1].upper()}{self.owner[1:]}: {self.title} {fault}{place}.", cure)


def add_origin(error: BaseException, title: str) -> None:
    """Add a note on the plugin's function that raised the error, unless an inner call has added one."""
    if not origin_of(error):
        error.add_note(f"{_NOTE}{title}")


def origin_of(error: BaseException) -> str:
    """Return ', raised by …' for an exception that a plugin's function raised, or an empty string."""
    notes = getattr(error, "__notes__", [])
    return next((f", {note}" for note in notes if isinstance(note, str) and note.startswith(_NOTE)), "")


def describe(value: object) -> str:
    """Return what a value is, for an error: its type, the shape of a tensor, the names in a mapping."""
    name = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}, not an instance of it"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = "a tensor" if name in ("Tensor", "Parameter") else f"{_article(name)} {name}"
        return f"{kind} of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, bool | int | float | str):
        text = repr(value)
        return f"{_article(name)} {name}, {text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…'}"
    if isinstance(value, Mapping):
        return f"{_article(name)} {name} with {', '.join(map(repr, list(value)[:8])) or 'nothing'}"
    if isinstance(value, tuple | list):
        return f"{_article(name)} {name} of {', '.join(type(item).__name__ for item in value[:4]) or 'nothing'}"
    builtin = type(value).__module__ == "builtins"
    return f"{_article(name)} {name}" if builtin else f"an object of the class {name}"


def defined_at(function: object) -> str:
    """Return ' (file, line N)' where a function, method, class or callable object is defined, or an empty string."""
    code = _code(function)
    library = code is not None and f"{os.sep}site-packages{os.sep}torch{os.sep}" in code.co_filename
    return "" if code is None or library else f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _code(function: object) -> CodeType | None:
    """Return the code of a function; of a class, or an object, that of its `__call__`, `forward` or first method."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, PluginFunction):
        return _code(function.function)
    if callable(function) and not isinstance(function, type):
        function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        return code
    if function is None or (type(function).__module__ == "builtins" and not isinstance(function, type)):
        return None
    own = function if isinstance(function, type) else type(function)
    methods = [getattr(own, name, None) for name in ("forward", "__call__", "__init__")] + list(vars(own).values())
    codes = (getattr(method, "__code__", None) for method in methods)
    return next((code for code in codes if isinstance(code, CodeType)), None)


def _was_not_entered(error: TypeError) -> bool:
    """Return whether the call itself failed: the traceback ends in the frame that called, or in a module's call."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    return all(frame.f_code.co_filename.endswith(_MODULE_CALL) for frame in frames)


def modules_in(error: BaseException) -> list[Any]:
    """Return the torch modules whose calls the exception has passed through, outermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [f.f_locals.get("self") for f in frames if f.f_code.co_filename.endswith(_MODULE_CALL)]


def module_not_entered(error: BaseException) -> Any:
    """Return the torch module whose `forward` does not accept the arguments that it was called with, else None."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not isinstance(error, TypeError) or not frames or not frames[-1].f_code.co_filename.endswith(_MODULE_CALL):
        return None
    return frames[-1].f_locals.get("self")


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"
