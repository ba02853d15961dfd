"""Measured values as they are kept: one `<artifact>.metrics.json` beside the artifact's files.

    {"format": "nca-measures", "version": 1,
     "measures": {"psnr": "1", …}                         what each was measured with: its stamp
     "x0": {"content": …, "digest": …}                    of noise.h5's part, and of x0 itself
     "samples": [{"t", "seed", "content", "digest", "values": {"psnr": {"": 31.2}, …}}, …]}

`digest` is the SHA-256 of a tensor's numbers (float32, C order), `content` the `content_sha256`
of the part that it was read from. While a part has that content its tensors need no reading;
where it has another one, a sample's values hold as long as its digest does. A last member is the
digest of all before (`store.sealed`). Numbers that JSON has no word for are null (NaN), "inf" and
"-inf". Anyone may delete these files; one of a higher version stays as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nca_cli.errors import StoreError
from nca_cli.metrics.numbers import Numbers, Values
from nca_cli.store import Artifact, Key, Store
from nca_cli.store.files import locked, write_atomically
from nca_cli.store.layout import metrics_file
from nca_cli.store.sealed import sealed, unsealed

FORMAT, VERSION = "nca-measures", 1
FLOOR: Key = (-1, -1)
"""In the place of (t, seed), of the autoencoder's floor, which has neither."""


@dataclass(slots=True)
class Entry:
    """The values of one tensor."""

    content: str
    digest: str
    values: Numbers

    @classmethod
    def of(cls, content: str, digest: str, values: Values) -> Entry:
        """Values by metric and suffix."""
        return cls(content, digest, Numbers(values))

    def without(self, names: set[str]) -> Entry:
        """A copy that lacks some metrics."""
        values = {name: value for name, value in self.values.items() if name not in names}
        return replace(self, values=Numbers(values))


@dataclass
class Kept:
    """The values of one artifact."""

    stamps: dict[str, str] = field(default_factory=dict)
    """Metric → what it was measured with; "" where that cannot be told."""
    x0_content: str = ""
    x0: str = ""
    """Digest of x0; another x0 makes all values void."""
    entries: dict[Key, Entry] = field(default_factory=dict)

    @property
    def lasting(self) -> Kept:
        """The values of metrics that can be told from others: those that may be kept."""
        passing = {name for name, stamp in self.stamps.items() if not stamp}
        stamps = {name: stamp for name, stamp in self.stamps.items() if stamp}
        entries = {key: entry.without(passing) for key, entry in self.entries.items()}
        return Kept(stamps, self.x0_content, self.x0, entries)

    def joined(self, new: Kept) -> Kept:
        """These values and then `new` ones, which win; those of another x0 or stamp are dropped."""
        old = self if self.x0 == new.x0 else Kept()
        stale = {name for name, stamp in new.stamps.items() if old.stamps.get(name) != stamp}
        entries = {key: entry.without(stale) for key, entry in old.entries.items()}
        for key, entry in new.entries.items():
            known = entries.get(key)
            same = known.values if known and known.digest == entry.digest else {}
            entries[key] = replace(entry, values=Numbers({**same, **entry.values}))
        return Kept({**old.stamps, **new.stamps}, new.x0_content, new.x0, entries)


def file_of(store: Store, artifact: Artifact) -> Path | None:
    """Where an artifact's values are kept; None for a packed store."""
    if store.folder is None:
        return None
    return metrics_file(store.folder / artifact.model / artifact.image, artifact.name)


def load(path: Path | None) -> Kept | None:
    """What a file keeps: nothing yet where there is none, None where it cannot be understood.

    Raises `StoreError` for a file of a newer nca.
    """
    if path is None:
        return Kept()
    try:
        data = unsealed(path.read_bytes())
        if data["format"] == FORMAT and data["version"] > VERSION:
            raise StoreError(
                path, f"version {data['version']} is newer than this nca knows ({VERSION})",
                "upgrade nca, or use another --store",
            )  # fmt: skip
        return _parsed(data)
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
            RecursionError):  # fmt: skip
        return None


def save(path: Path, store: Store, artifact: Artifact, new: Kept) -> None:
    """Merge new values into the artifact's file (`file_of`), under its lock.

    Raises `StoreError`, for a file of a newer nca too, which stays as it is.
    """
    with locked(store.root, artifact.model, artifact.image, path.name):
        if artifact.parts[0].path.exists():
            text = _text((load(path) or Kept()).joined(new.lasting))
            write_atomically(path, sealed(text))


def _parsed(data: dict) -> Kept:
    if (data["format"], data["version"]) != (FORMAT, VERSION):
        raise ValueError("another format")
    x0, entries = data["x0"], {}
    for sample in data["samples"]:
        key = sample["t"], int(sample["seed"])
        if not math.isfinite(key[0]):  # a text is no t either: TypeError
            raise ValueError("no level")
        entries[key] = Entry.of(str(sample["content"]), str(sample["digest"]), sample["values"])
    stamps = {name: str(stamp) for name, stamp in data["measures"].items()}
    return Kept(stamps, str(x0["content"]), str(x0["digest"]), entries)


def _each(function: Callable[[Any], Any], values: Mapping[str, Mapping[str, Any]]) -> dict:
    """A function of each value, under the same names."""
    return {
        name: {suffix: function(value) for suffix, value in several.items()}
        for name, several in values.items()
    }


def _text(kept: Kept) -> str:
    samples = [
        {"t": t, "seed": seed, "content": entry.content, "digest": entry.digest,
         "values": _each(_plain, entry.values)}
        for (t, seed), entry in sorted(kept.entries.items())
    ]  # fmt: skip
    rows = ",\n".join(json.dumps(sample, ensure_ascii=False, allow_nan=False) for sample in samples)
    head = json.dumps(
        {"format": FORMAT, "version": VERSION, "measures": kept.stamps,
         "x0": {"content": kept.x0_content, "digest": kept.x0}}, ensure_ascii=False
    )  # fmt: skip
    return f'{head[:-1]}, "samples": [\n{rows}\n]}}\n'


def _plain(value: float) -> float | str | None:
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)
