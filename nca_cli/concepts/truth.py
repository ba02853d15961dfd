"""What is truly in the images: the factors of the portraits, or the labels of a user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property

import numpy as np

from nca_cli.errors import NothingStored, UsageError
from nca_cli.images import image_digest, sample_images
from nca_cli.portraits import Factors
from nca_cli.store import Artifact, Store
from nca_cli.store.layout import split_folder

COLOURS = ("background", "hair", "skin", "shirt", "eye")
VALUES = ("hair_length", "fringe", "face_width", "tilt", "smile", "mouth_open", "gaze")
PRESENT = ("glasses", "freckles", "stripes")
"""Factors that are there or not: an opacity above 0."""
FACTORS = (*COLOURS, *VALUES, *PRESENT)

CHANNELS = ("_r", "_g", "_b")
"""How the three columns of a colour end."""
Labels = Mapping[str, tuple[float, ...]]
"""Concept → its numbers for one image."""


@dataclass(frozen=True)
class Truth:
    """Labels of images, by stem, file name or folder name in a store (or by digest)."""

    labels: Mapping[str, Labels]
    source: str = "labels"
    by_digest: bool = False
    notes: tuple[str, ...] = ()
    """What a reader of results should know about the labels."""

    @cached_property
    def _written(self) -> dict[str, str]:
        """Numbers without leading zeros, and other names → names as they are in `labels`."""
        return {number_or_name(name): name for name in self.labels}

    def of(self, artifact: Artifact) -> Labels | None:
        """The labels of an artifact's image; `None` where it has none."""
        if self.by_digest:
            info = artifact.image_info
            key = (info.get("digest"), info.get("fit", "crop"), info.get("resolution"))
            return self.labels.get(_portrait_names(*key[1:]).get(str(key[0]), ""))
        stem = self._written.get(number_or_name(artifact.image_name), artifact.image_name)
        return self.labels.get(artifact.image, self.labels.get(stem))

    def unknown(self, store: Store) -> list[str]:
        """Labelled names that no image of the store has. Raises `UsageError` for one of two."""
        if self.by_digest:
            return []
        known: set[str] = set()
        for model in store.models():
            folders = store.images(model)
            stems = Counter(number_or_name(split_folder(folder)[0]) for folder in folders)
            for stem, count in stems.items():
                if count > 1 and stem in self._written:
                    what = f"{self._written[stem]} is the name of {count} stored images"
                    raise UsageError(f"{self.source}: {what}", "label them by folder name: nca ls")
            known.update(folders, stems)
        return [name for stem, name in self._written.items() if not known & {stem, name}]

    def require(self, concepts: Iterable[str]) -> None:
        """Raise `UsageError` when not one labelled concept is among `concepts`."""
        concepts = set(concepts)
        if not any(concepts & labels.keys() for labels in self.labels.values()):
            known = {name for labels in self.labels.values() for name in labels}
            raise UsageError(f"{self.source}: labels {', '.join(sorted(known)) or 'nothing'}",
                             f"the probe reads {', '.join(sorted(concepts))}")  # fmt: skip


def nothing_labelled(truth: Truth, unknown: Sequence[str]) -> NothingStored:
    """The error where no reconstruction is of an image with labels."""
    if truth.by_digest:
        return NothingStored("no image with known concepts is stored",
                             "nca reconstruct --model demo, or give labels as CSV")  # fmt: skip
    which = f"{named(unknown)}, none of them stored" if unknown else "nothing that fits"
    return NothingStored(f"{truth.source}: labels {which}", "name images as in the store: nca ls")


def number_or_name(name: str) -> str:
    """`00012` → `12`: spreadsheets and some tables leave leading zeros out."""
    return name.lstrip("0") or "0" if name.isdecimal() else name


def named(names: Sequence[str]) -> str:
    """`a, b, c and 7 more`."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def factor_labels(factors: Sequence[Factors]) -> dict[str, np.ndarray]:
    """Concept → (N, size) float32 of portraits: colours, shapes, and what is there or not."""
    labels = [_factors(asdict(each)) for each in factors]
    return {name: np.array([each[name] for each in labels], np.float32) for name in FACTORS}


def _factors(values: Mapping) -> dict[str, tuple[float, ...]]:
    labels = {name: tuple(values[name]) for name in COLOURS}
    labels |= {name: (values[name],) for name in VALUES}
    return labels | {name: (float(values[name] > 0),) for name in PRESENT}


def portrait_truth() -> Truth:
    """The factors of the bundled portraits, whatever they are called in a store."""
    records = json.loads(sample_images("portraits")[0].with_name("factors.json").read_text())
    labels = {name: _factors(record["factors"]) for name, record in records.items()}
    return Truth(labels, "the bundled portraits", by_digest=True)


@cache
def _portrait_names(fit: str, resolution: int) -> dict[str, str]:
    """Digest → file name of the bundled portraits."""
    paths = sample_images("portraits")
    return {image_digest(path, resolution, fit): path.name for path in paths}
