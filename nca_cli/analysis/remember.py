"""What was made of tensors is kept in the store, so that the second report reads no tensor.

`.analysis/<kind>-<8 hex of the filters>.json` in the root of a store holds one result and the key
that it is good for: version, filters, names, settings, and the size and time of every file that was
read. Anyone may delete it, and whatever removes samples does. A store that cannot be written
(packed, read-only) keeps nothing, and works.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from nca_cli.errors import StoreError
from nca_cli.recipe import digest
from nca_cli.store import Artifact, Filters, Name, Place, Store
from nca_cli.store.files import locked, write_atomically
from nca_cli.store.layout import DERIVED, NOISE
from nca_cli.store.sealed import sealed, unsealed

VERSION = 3
"""Rises when the same tensors give other numbers."""
KEPT = 8
"""Results of a kind that stay, each for other filters; the oldest go."""


def remembered(
    store: Store, filters: Filters, artifacts: Sequence[tuple[Artifact, Name]], kind: str,
    type_: Any, compute: Callable[[], Any], settings: Any = None,
) -> Any:  # fmt: skip
    """What `compute()` gives, of the type `type_`, from the store if its files are the same.

    `settings`: what else it depends on, as plain data.
    """
    if store.folder is None:
        return compute()
    asked = digest(asdict(filters))
    path = store.folder / DERIVED / f"{kind}-{asked[:8]}.json"
    files = [[*name, _stamp(store, artifact)] for artifact, name in artifacts]
    key = digest([VERSION, asked, settings, files])
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError,
                             RecursionError):  # fmt: skip
        data = unsealed(path.read_bytes())
        if data["key"] == key:
            return revived(type_, data["result"])
    result = compute()
    text = json.dumps({"key": key, "result": plain(result)})
    with contextlib.suppress(StoreError), locked(store.root, DERIVED, kind):
        write_atomically(path, sealed(text))
        _drop_oldest(path.parent, kind)
    return result


def _drop_oldest(folder: Path, kind: str) -> None:
    with contextlib.suppress(OSError):
        files = sorted(folder.glob(f"{kind}-*.json"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[:-KEPT]:
            file.unlink()


def _stamp(store: Store, artifact: Artifact) -> list:
    """Size and time of all files of an artifact, and of the noise beside it."""
    noise = store.artifact(Place(artifact.model, artifact.image), NOISE)
    parts = [*artifact.parts, *(noise.parts if noise else ())]
    return [str(artifact), *([part.path.name, *_of_file(part.path)] for part in parts)]


def _of_file(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists and bytes as base64, all the way down."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def revived(type_: Any, value: Any) -> Any:
    """The inverse of `plain`, for dataclasses, named tuples, lists, tuples, bytes, numbers, and
    any of them or `None`."""
    if type_ is bytes:
        return base64.b64decode(value)
    if isinstance(type_, type) and is_dataclass(type_):
        hints = _hints(type_)
        return type_(**{name: revived(hints[name], item) for name, item in value.items()})
    if hasattr(type_, "_fields"):
        return type_(*(tuple(item) if isinstance(item, list) else item for item in value))
    origin, inner = get_origin(type_), get_args(type_)
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return origin(revived(inner[0], item) for item in value)
    if origin is UnionType and value is not None:
        made = [one for one in inner if is_dataclass(one)]
        return revived(made[0], value) if made else value
    if origin is tuple:
        return tuple(revived(one, item) for one, item in zip(inner, value, strict=True))
    return value


@cache
def _hints(type_: type) -> dict[str, Any]:
    """Read once for each dataclass, of which there are thousands of values."""
    return get_type_hints(type_)
