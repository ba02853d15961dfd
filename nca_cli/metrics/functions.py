"""What a user's function is, as a digest: its text, and all else that its numbers depend on."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MAX_BYTES = 1 << 24
"""Of an array that is part of a digest."""


class Unknown(Exception):
    """Something that cannot be told from another of its kind."""


def text_digest(function: Callable) -> str:
    """Of the source of a function alone, or of its name where there is none."""
    try:
        return _sha(_source(function))
    except Unknown:
        return _sha(getattr(function, "__qualname__", ""))


def digest(function: Callable) -> str | None:
    """Of its source, and of the plain data that it, or a function inside it, closes over, has as
    defaults or takes from its module; of the functions and classes there likewise, of what belongs
    to other modules the names.

    Plain data are numbers, text, bytes, None, arrays and tuples of such. None where the function
    depends on anything else (a list or a dict may be where it keeps its state), or has no source.
    """
    try:
        return _sha("\n".join(_parts(function, set())))
    except (Unknown, RecursionError):
        return None


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _parts(function: Any, seen: set[int]) -> Iterator[str]:
    """A function's own text comes first, and alone where there is no more to it."""
    if isinstance(function, functools.partial):
        yield from _parts(function.func, seen)
        yield f"partial {_of((function.args, *sorted(function.keywords.items())), seen)}"
    elif isinstance(function, types.MethodType):
        yield from _parts(function.__func__, seen)
        yield f"self {_of(function.__self__, seen)}"
    elif isinstance(function, types.FunctionType):
        seen.add(id(function))
        yield _source(function.__code__)  # of itself, not of what it wraps
        for name, value in _given(function).items():
            yield f"{name} {_of(value, seen)}"
    else:
        raise Unknown


def _given(function: types.FunctionType) -> dict[str, Any]:
    """What a function has besides its text."""
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    try:
        closed = {
            f"closure {name}": cell.cell_contents for name, cell in zip(names, cells, strict=True)
        }
    except ValueError as error:  # not yet given a value
        raise Unknown from error
    module = function.__globals__
    used = {name: module[name] for name in _names(function.__code__) if name in module}
    keywords = tuple((function.__kwdefaults__ or {}).items())
    defaults = {"defaults": function.__defaults__, "keywords": keywords}
    return {
        **closed,
        **{name: value for name, value in defaults.items() if value},
        **{f"global {name}": value for name, value in sorted(used.items())
           if not _is_elsewhere(value, function.__module__)},
    }  # fmt: skip


def _names(code: types.CodeType) -> Iterator[str]:
    """What code mentions, and the code inside it: of functions, comprehensions and classes."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _is_elsewhere(value: Any, module: str) -> bool:
    """Whether a global is a module, or a function or class of another one."""
    code = types.FunctionType | types.BuiltinFunctionType | type | np.ufunc
    return isinstance(value, types.ModuleType) or (
        isinstance(value, code) and getattr(value, "__module__", None) != module
    )


def _of(value: Any, seen: set[int]) -> str:
    """A value as text that no other value has. Raises `Unknown`."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.generic):
        return f"{value.dtype.str} {value.item()!r}"
    if isinstance(value, np.ndarray) and value.nbytes <= MAX_BYTES and not value.dtype.hasobject:
        sha = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
        return f"array {value.dtype.str} {value.shape} {sha}"
    if isinstance(value, tuple):
        return f"({', '.join(_of(item, seen) for item in value)})"
    return _of_code(value, seen)


def _of_code(value: Any, seen: set[int]) -> str:
    """A module, class or function as text. Raises `Unknown`."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, types.BuiltinFunctionType | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    if id(value) in seen:
        return "itself"
    parts = _parts_of_class if isinstance(value, type) else _parts
    return " ".join(parts(value, seen))


def _parts_of_class(value: type, seen: set[int]) -> Iterator[str]:
    """Its text, its bases in the same module, its functions and its data."""
    seen.add(id(value))
    yield _source(value)
    for base in value.__bases__:
        if not _is_elsewhere(base, value.__module__):
            yield _of(base, seen)
    for name, held in vars(value).items():
        if isinstance(held, types.FunctionType) or not name.startswith("__"):
            yield f"{name} {_of(_functions(held), seen)}"


def _functions(held: Any) -> Any:
    """Those of a property, class method or static method; anything else is what it is."""
    if isinstance(held, property):
        return held.fget, held.fset, held.fdel
    return held.__func__ if isinstance(held, staticmethod | classmethod) else held


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError) as error:
        raise Unknown from error
