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

VERSION = 4
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
    revive = _reviver(type_)
    return value if revive is None else revive(value)


Revive = Callable[[Any], Any]


@cache
def _reviver(type_: Any) -> Revive | None:
    """How values of a type are made again, found out once for each; None: they are plain."""
    if type_ is bytes:
        return base64.b64decode
    if isinstance(type_, type) and is_dataclass(type_):
        return _of_fields(type_)
    if hasattr(type_, "_fields"):
        return lambda row: type_(*(tuple(x) if isinstance(x, list) else x for x in row))
    origin, inner = get_origin(type_), get_args(type_)
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return _of_items(origin, _reviver(inner[0]))
    if origin is UnionType:
        made = [one for one in inner if isinstance(one, type) and is_dataclass(one)]
        return _unless_none(_of_fields(made[0])) if made else None
    if origin is tuple:
        return _in_turn([_reviver(one) for one in inner])
    return None


def _of_fields(type_: type) -> Revive:
    revivers = {name: _reviver(hint) for name, hint in get_type_hints(type_).items()}
    return lambda told: type_(
        **{name: revive(item) if (revive := revivers[name]) else item
           for name, item in told.items()}
    )  # fmt: skip


def _of_items(origin: type, revive: Revive | None) -> Revive:
    return origin if revive is None else lambda items: origin(map(revive, items))


def _unless_none(revive: Revive) -> Revive:
    return lambda value: None if value is None else revive(value)


def _in_turn(revivers: Sequence[Revive | None]) -> Revive:
    if not any(revivers):
        return tuple
    return lambda items: tuple(
        revive(item) if revive else item for revive, item in zip(revivers, items, strict=True)
    )
