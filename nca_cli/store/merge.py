"""How new samples enter an artifact's files, and how they leave. The caller holds its lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from nca_cli.errors import StoreError
from nca_cli.store.artifact import Artifact
from nca_cli.store.layout import metrics_file, part_file
from nca_cli.store.location import Location
from nca_cli.store.samples import Key, Part, Samples

Write = Callable[[Path, Part], None]
"""Puts a part into a file, whole or not at all."""


def lacking(known: Artifact | None, fixed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fixed tensors that no part of the artifact holds yet."""
    if not fixed:
        return {}
    held = known.datasets if known else {}
    return {name: np.asarray(values) for name, values in fixed.items() if name not in held}


def append(
    folder: Path, name: str, known: Artifact | None, new: Part, part_bytes: int,
    write: Write,
) -> None:  # fmt: skip
    """Fill the last part up to `part_bytes`, then begin new ones.

    A first part that was set aside is begun again before the last one is filled, since fixed
    tensors belong there. No file of another part is ever touched, and a last part that turns out
    to be damaged is left to `verify`: what was computed goes into a part of its own.
    """
    numbers = [part.number for part in known.parts] if known else []
    number = max(numbers) if 0 in numbers else 0
    try:
        part = known.parts[-1].read() if known and number in numbers else _empty(new)
    except StoreError:
        if new.fixed:
            raise
        number, part = max(numbers) + 1, _empty(new)
    rest, fixed = new.samples, new.fixed
    while True:
        room = _room(part, rest, part_bytes)
        if room or fixed or number not in numbers:
            part = part.joined(rest.take(slice(0, room)), fixed)
            write(part_file(folder, name, number), part)
        rest, fixed = rest.take(slice(room, None)), {}
        if not len(rest):
            return
        number, part = max([number, *numbers]) + 1, _empty(new)


def _empty(new: Part) -> Part:
    """A part without samples or fixed tensors."""
    return Part(new.header, {}, new.samples.take(slice(0, 0)))


def _room(part: Part, rest: Samples, part_bytes: int) -> int:
    """How many of `rest` the part may still take; an empty one takes at least one."""
    if not part.takes(rest):
        return 0
    room = part_bytes // rest.bytes_per_sample - len(part.samples)
    return int(min(len(rest), max(room, 0 if len(part.samples) else 1)))


def replace(
    folder: Path, name: str, known: Artifact, new: Part, part_bytes: int, write: Write
) -> None:
    """As `append`, where samples of `new` take the place of those that have their (t, seed).

    A new sample is on the disk before or as the old one goes. It lies in the old one's part, or
    behind it where that cannot take it (another dtype); until that is gone too, readers see it.
    """
    keys, taken, outdated = set(new.samples.keys), set(), []
    for location in known.parts:
        part = location.read()
        here = keys & set(part.samples.keys)
        kept = Part(part.header, part.fixed, part.samples.without(here))
        if here and kept.takes(new.samples):
            own = kept.joined(new.samples.without(keys - here), {})
            write(location.path, own)
            taken |= here
        elif here:
            outdated.append(location)
    rest = new.samples.without(taken)
    if len(rest) or new.fixed:
        append(folder, name, known, Part(new.header, new.fixed, rest), part_bytes, write)
    remove_samples(outdated, keys, write)


def remove_samples(parts: Iterable[Location], gone: set[Key], write: Write) -> None:
    """Rewrite each part that holds one of `gone`. A part left with nothing at all is deleted."""
    for location in parts:
        part = location.read()
        rest = part.samples.without(gone)
        if not len(rest) and not part.fixed:
            location.path.unlink(missing_ok=True)
        elif len(rest) < len(part.samples):
            write(location.path, Part(part.header, part.fixed, rest))


def delete(artifact: Artifact) -> None:
    """Delete all parts, the one with the fixed tensors last, and the folder if it is empty now.

    Measured values go with them.
    """
    metrics_file(artifact.parts[0].path.parent, artifact.name).unlink(missing_ok=True)
    for location in reversed(artifact.parts):
        location.path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        artifact.parts[0].path.parent.rmdir()
