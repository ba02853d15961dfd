"""What of a store is to be measured: the samples of each artifact, and what is kept of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from nca_cli.errors import NcaError, NothingStored, StoreError, UsageError
from nca_cli.metrics.cache import FLOOR, Kept, file_of, load
from nca_cli.metrics.registry import X0_FLOOR, Metric
from nca_cli.store import Artifact, Filters, Key, Place, Store
from nca_cli.store.fields import fixed
from nca_cli.store.layout import NOISE

REFERENCES = {"copy": "x_t", "floor": X0_FLOOR}
"""What may stand in a reconstruction's place, and the dataset of `noise.h5` that it is: x_t itself
(`reference:copy`, noise and scale as they are, by `Metric.of_x_t` alone), and the autoencoder's
D(E(x0)) (`reference:floor`, without a level)."""
REFERENCE_OF = {dataset: f"reference:{name}" for name, dataset in REFERENCES.items()}


@dataclass
class WantedSamples:
    """The samples of one artifact that are wanted, and what is known of them."""

    artifact: Artifact
    noise: Artifact
    dataset: str
    keys: list[Key]
    kept: Kept
    log_snr: dict[Key, float]
    trusted: bool
    """Whether the kept values are known to belong to this x0."""
    contents: dict[Key, str]
    """(t, seed) → content of the part that holds it."""
    has_floor: bool
    """Whether there is a D(E(x0)) to compare with."""
    problem: NcaError | None = None

    def fitting(self, metrics: Mapping[str, Metric]) -> dict[str, Metric]:
        """The metrics that are taken of it; only x̂0 is compared with D(E(x0))."""
        compared = self.has_floor and self.dataset == "x0_hat"
        return {name: each for name, each in metrics.items()
                if (compared or each.against != X0_FLOOR)
                and (self.dataset != REFERENCES["copy"] or each.of_x_t)}  # fmt: skip

    def known(self, keys: Sequence[Key]) -> Kept:
        """What is kept of some samples."""
        entries = {key: self.kept.entries[key] for key in keys if key in self.kept.entries}
        return Kept(self.kept.stamps, self.kept.x0_content, self.kept.x0, entries)

    def count(self, name: str) -> int:
        """How many of the samples have a value of a metric."""
        entries = (self.kept.entries.get(key) for key in self.keys)
        return sum(entry is not None and name in entry.values for entry in entries)

    def lacking(self, metrics: Mapping[str, Metric]) -> list[Key]:
        """The samples that must be read: without a metric, or not known to be the same."""
        stamps = self.kept.stamps
        current = all(each.stamp and stamps.get(n) == each.stamp for n, each in metrics.items())
        if not (self.trusted and current):
            return list(self.keys)
        wanted = frozenset(metrics)
        return [key for key in self.keys if not self._has(key, wanted)]

    def _has(self, key: Key, metrics: frozenset[str]) -> bool:
        entry = self.kept.entries.get(key)
        if entry is None or entry.content != self.contents.get(key):
            return False
        return entry.values.hold(metrics)


class Survey:
    """Looks artifacts up, and what is kept of them; each file once, and no tensor yet."""

    def __init__(self, store: Store, filters: Filters):
        self.store, self.filters = store, filters
        self.problems: list[NcaError] = []
        """Artifacts that could not be read, with the reason."""
        self.notes: list[str] = []
        """What else is worth telling."""
        self._noises: dict[Place, Artifact] = {}
        self._head = cache(_head)

    def sources(self, made: Iterable[Artifact], references: Sequence[str]) -> list[WantedSamples]:
        """The samples of reconstructions, and then those of `references` of the same images."""
        found = [source for one in made for source in self._considered(one, "x0_hat")]
        for noise in list(self._noises.values()):
            for dataset in _datasets(references):
                found += self._considered(noise, dataset)
        return found

    def _considered(self, artifact: Artifact, dataset: str) -> Iterator[WantedSamples]:
        """An artifact with its kept values; nothing where it has no such samples or no x0."""
        try:
            yield from self._source(artifact, dataset)
        except (StoreError, NothingStored) as error:
            self.problems.append(error)

    def _source(self, artifact: Artifact, dataset: str) -> Iterator[WantedSamples]:
        if dataset == X0_FLOOR:
            found = dataset in self._head(artifact).fixed
            keys, log_snr = [FLOOR] if found else [], {FLOOR: math.nan}
        else:
            keys = self.filters.keys(artifact)
            stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
            log_snr = dict(zip(stored, artifact.log_snr.tolist(), strict=True))
        if keys:
            noise, kept = self._noise(artifact), self._kept(artifact)
            contents, whole = self._head(artifact).contents, self._head(noise).fixed
            trusted = bool(kept.x0) and kept.x0_content == whole.get("x0")
            yield WantedSamples(artifact, noise, dataset, keys, kept, log_snr, trusted, contents,
                                X0_FLOOR in whole)  # fmt: skip

    def _kept(self, artifact: Artifact) -> Kept:
        """What is kept of an artifact; nothing, with a note, where that cannot be read."""
        path, reason = file_of(self.store, artifact), "not readable"
        try:
            kept = load(path)
        except StoreError as error:
            kept, reason = None, error.reason
        if kept is None:
            self.notes.append(f"{path}: {reason}, so it is measured again")
        return kept or Kept()

    def _noise(self, artifact: Artifact) -> Artifact:
        """The artifact that holds the image itself."""
        place = Place(artifact.model, artifact.image)
        if place not in self._noises:
            noise = self.store.artifact(place, NOISE)
            if noise is None:
                where = f"{self.store.root}/{artifact.model}/{artifact.image}"
                raise NothingStored(f"{where}: no {NOISE}.h5, so no image to compare with",
                                    "write it again: nca noise")  # fmt: skip
            self._noises[place] = noise
        return self._noises[place]


@dataclass(frozen=True)
class Head:
    """What an artifact's files say about themselves."""

    fixed: dict[str, str]
    """`x0`, `x0_floor` → content of the first part that holds it."""
    contents: dict[Key, str]
    """(t, seed) → content of the part that holds it."""


def _head(artifact: Artifact) -> Head:
    head = Head({}, {})
    for told in artifact.heads:
        names = [name for name in fixed() if name in told.datasets]
        for name in names:
            head.fixed.setdefault(name, told.content)
        for key in (*told.columns.keys, *([FLOOR] if X0_FLOOR in names else ())):
            head.contents.setdefault(key, told.content)
    return head


def _datasets(references: Sequence[str]) -> list[str]:
    unknown = [name for name in references if name not in REFERENCES]
    if unknown:
        raise UsageError(f"unknown reference {unknown[0]!r}", f"one of: {', '.join(REFERENCES)}")
    return [REFERENCES[name] for name in references]
