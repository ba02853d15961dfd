"""From a store and filters to values: what is kept already, what is missing, and its measuring."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nca_cli.devices import pick_device
from nca_cli.errors import NcaError, NothingStored, StoreError, UsageError
from nca_cli.metrics import cache
from nca_cli.metrics.cache import FLOOR, Kept
from nca_cli.metrics.registry import METRICS, X0_FLOOR, Metric, cheap, described
from nca_cli.metrics.value import Value
from nca_cli.metrics.work import POOL_PIXELS, Task, carried_out, portable
from nca_cli.store import Artifact, Filters, Key, Names, Place, Store, hdf5
from nca_cli.store.fields import fixed
from nca_cli.store.layout import NOISE

REFERENCES = {"copy": "x_t", "floor": X0_FLOOR}
"""What may stand in a reconstruction's place, and the dataset of `noise.h5` that it is: x_t itself
(`reference:copy`, noise and scale as they are, by `Metric.of_x_t` alone), and the autoencoder's
D(E(x0)) (`reference:floor`, without a level)."""
LIST_HINT = "see what there is: nca ls"
CHUNK = 16
"""Samples that are read and measured at a time."""


@dataclass(frozen=True)
class Settings:
    """What the measures that need torch are computed with."""

    lpips_weights: tuple[str | Path, ...] = ()
    """Files: convolutions and lin weights, together or apart; see `metrics.lpips`."""
    backbone: str | None = None
    """A vision model that transformers knows: a hub id or a folder."""
    device: str = "auto"


def measure_store(
    store: Store, filters: Filters = Filters(), names: Iterable[str] | None = None, *,  # noqa: B008
    workers: int | None = None, tick: Callable[[int], None] = lambda count: None,
    settings: Settings = Settings(), references: Sequence[str] = (),
) -> list[Value]:  # fmt: skip
    """Values of all stored reconstructions that fit: those that are kept, and the rest computed.

    `names` are of `METRICS`; by default all that need no network, those whose weights the
    settings name, and whatever is kept of others. `tick` is told of measured samples. The order is
    that of the store, then t, seed and measure, whatever `workers` (default: as many as there are
    processors, where that is worth it). Artifacts that cannot be read are left out; `Measuring`
    says which. Raises `UsageError` and `NothingStored`.
    """
    work = Measuring(store, filters, names, settings=settings, references=references)
    return work.run(workers, tick)


@dataclass
class Source:
    """The samples of one artifact that are wanted, and what is known of them."""

    artifact: Artifact
    noise: Artifact
    dataset: str
    keys: list[Key]
    kept: Kept
    log_snr: dict[Key, float]
    trusted: bool = False
    """Whether the kept values are known to belong to this x0."""
    contents: dict[Key, str] = field(default_factory=dict)
    """(t, seed) → content of the part that holds it."""
    has_floor: bool = False
    """Whether there is a D(E(x0)) to compare with."""
    problem: NcaError | None = None

    def fitting(self, measures: Mapping[str, Metric]) -> dict[str, Metric]:
        """The measures that are taken of it; only x̂0 is compared with D(E(x0))."""
        compared = self.has_floor and self.dataset == "x0_hat"
        return {name: each for name, each in measures.items()
                if (compared or each.against != X0_FLOOR)
                and (self.dataset != REFERENCES["copy"] or each.of_x_t)}  # fmt: skip

    def known(self, keys: Sequence[Key]) -> Kept:
        """What is kept of some samples."""
        entries = {key: self.kept.entries[key] for key in keys if key in self.kept.entries}
        return Kept(self.kept.stamps, self.kept.x0_content, self.kept.x0, entries)

    def count(self, name: str) -> int:
        """How many of the samples have a value of a measure."""
        entries = (self.kept.entries.get(key) for key in self.keys)
        return sum(entry is not None and name in entry.values for entry in entries)

    def lacking(self, measures: Mapping[str, Metric]) -> list[Key]:
        """The samples that must be read: without a measure, or not known to be the same."""
        stamps = self.kept.stamps
        current = all(each.stamp and stamps.get(n) == each.stamp for n, each in measures.items())
        return [key for key in self.keys if not (current and self._has(key, measures))]

    def _has(self, key: Key, measures: Mapping[str, Metric]) -> bool:
        entry = self.kept.entries.get(key)
        return (
            self.trusted and entry is not None and entry.content == self.contents[key]
            and measures.keys() <= entry.values.keys()
        )  # fmt: skip


class Measuring:
    """Measures of what is stored. `len()`: the samples that must be measured; `run` does it.

    Looks at every artifact that fits and at what is kept of it, and reads no tensor yet.
    """

    def __init__(
        self, store: Store, filters: Filters = Filters(), names: Iterable[str] | None = None, *,  # noqa: B008
        settings: Settings = Settings(), references: Sequence[str] = (),
    ):  # fmt: skip
        self.store, self.filters = store, filters
        self.measures = wanted_measures(names, settings)
        self._all = names is None
        self.problems: list[NcaError] = []
        """Artifacts that could not be read, with the reason."""
        self.notes: list[str] = []
        """What else is worth telling."""
        self.notes += [_passing(name) for name, each in self.measures.items() if not each.stamp]
        found = [one for one in store.require().select(filters) if not one.is_noise]
        if not found:
            hint = " ".join([LIST_HINT, *store.named])
            raise NothingStored(f"{store.root} holds no reconstruction that fits", hint)
        self.names = Names(found)
        self._noises: dict[Place, Artifact] = {}
        self._heads: dict[Artifact, Head] = {}
        self.sources = [source for one in found for source in self._considered(one, "x0_hat")]
        for noise in list(self._noises.values()):
            for dataset in _datasets(references):
                self.sources += self._considered(noise, dataset)
        self._tasks = list(self._planned())
        self.stamps: dict[str, str] = {}
        """Measure → what the values that `run` gave were taken with; "" where that is not known."""

    def __len__(self) -> int:
        return sum(len(task.keys) for task in self._tasks)

    @property
    def artifacts(self) -> list[Artifact]:
        """The reconstructions that values are of."""
        return [source.artifact for source in self.sources if source.dataset == "x0_hat"]

    @property
    def files(self) -> list[Path]:
        """Where the values are kept; none for a packed or a read-only store."""
        found = dict.fromkeys(cache.file_of(self.store, source.artifact) for source in self.sources)
        return [path for path in found if path and path.exists()]

    # -- what is there ---------------------------------------------------------------------------

    def _considered(self, artifact: Artifact, dataset: str) -> Iterator[Source]:
        """An artifact with its kept values; nothing where it has no such samples or no x0."""
        try:
            yield from self._source(artifact, dataset)
        except (StoreError, NothingStored) as error:
            self.problems.append(error)

    def _source(self, artifact: Artifact, dataset: str) -> Iterator[Source]:
        floor = dataset == X0_FLOOR
        if floor and dataset not in self._head(artifact).fixed:
            return
        keys = [FLOOR] if floor else self.filters.keys(artifact)
        if not keys:
            return
        noise = self._noise(artifact)
        kept = self._kept(artifact)
        contents, log_snr = self._index(artifact, keys)
        fixed = self._head(noise).fixed
        trusted = bool(kept.x0) and kept.x0_content == fixed.get("x0")
        has_floor = X0_FLOOR in fixed
        yield Source(artifact, noise, dataset, keys, kept, log_snr, trusted, contents, has_floor)

    def _kept(self, artifact: Artifact) -> Kept:
        """What is kept of an artifact; nothing, with a note, where that cannot be read."""
        path, reason = cache.file_of(self.store, artifact), "not readable"
        try:
            kept = cache.load(path)
        except StoreError as error:
            kept, reason = None, error.reason
        if kept is None:
            self.notes.append(f"{path}: {reason}, so measured anew")
        return kept or Kept()

    def _index(
        self, artifact: Artifact, keys: list[Key]
    ) -> tuple[dict[Key, str], dict[Key, float]]:
        """Of each sample the content of its part, and logSNR."""
        head = self._head(artifact)
        if keys == [FLOOR]:
            return {FLOOR: head.fixed.get(X0_FLOOR, "")}, {FLOOR: math.nan}
        stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
        log_snr = dict(zip(stored, artifact.log_snr.tolist(), strict=True))
        contents = {key: head.contents.get(key, "") for key in keys}
        return contents, {key: log_snr[key] for key in keys}

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

    def _head(self, artifact: Artifact) -> Head:
        if artifact not in self._heads:
            self._heads[artifact] = _head(artifact)
        return self._heads[artifact]

    # -- what is missing -------------------------------------------------------------------------

    def _planned(self) -> Iterator[Task]:
        """Chunks of what must be read. What runs in this process alone stays apart."""
        for source in self.sources:
            fitting = source.fitting(self.measures)
            light = {name: each for name, each in fitting.items() if _is_light(each)}
            heavy = {name: each for name, each in fitting.items() if name not in light}
            for measures in filter(None, (light, heavy)):
                keys = source.lacking(measures)
                for start in range(0, len(keys), CHUNK):
                    chunk = tuple(keys[start : start + CHUNK])
                    yield Task(source.artifact, source.noise, source.dataset, chunk, measures,
                               source.known(chunk))  # fmt: skip

    def run(
        self, workers: int | None = None, tick: Callable[[int], None] = lambda count: None
    ) -> list[Value]:
        """Measure what is missing, keep it, and return all values; see `measure_store`."""
        sources = {(source.artifact, source.dataset): source for source in self.sources}
        for task, found in self._carried_out(workers, tick):
            source = sources[task.artifact, task.dataset]
            if isinstance(found, NcaError):
                source.problem = source.problem or found
                continue
            source.kept, source.trusted = source.kept.joined(found), True
            self._keep(source, found)
        self._tasks = []
        self.problems += [source.problem for source in self.sources if source.problem]
        self.sources = [source for source in self.sources if not source.problem]
        self.stamps = {name: each.stamp for name, each in self.measures.items()}
        self.stamps |= self._of_networks() if self._all else {}
        return [value for source in self.sources for value in self._values(source)]

    def _carried_out(
        self, workers: int | None, tick: Callable[[int], None]
    ) -> Iterator[tuple[Task, Kept | NcaError]]:
        """The light tasks in processes, where that is worth it, and then the others in this one."""
        light = [task for task in self._tasks if all(map(_is_light, task.measures.values()))]
        heavy = [task for task in self._tasks if not all(map(_is_light, task.measures.values()))]
        yield from carried_out(light, self._workers(workers, light), tick)
        yield from carried_out(heavy, 1, tick)

    def _workers(self, wanted: int | None, tasks: Sequence[Task]) -> int:
        if wanted is not None or not tasks:
            return wanted or 1
        try:
            shape = tasks[0].artifact.datasets[tasks[0].dataset][0]
        except (StoreError, LookupError):
            return 1
        pixels = shape[-1] * shape[-2] * sum(len(task.keys) for task in tasks)
        return _processors() if pixels >= POOL_PIXELS else 1

    def _keep(self, source: Source, found: Kept) -> None:
        """Beside the artifact, where that can be written; else in memory alone."""
        path = cache.file_of(self.store, source.artifact)
        if path is None or not all(os.access(p, os.W_OK) for p in (path.parent, self.store.root)):
            return
        try:
            cache.save(self.store, source.artifact, found)
        except StoreError as error:
            text = f"measures are not kept: {error.reason}"
            self.notes += [] if text in self.notes else [text]

    # -- values ----------------------------------------------------------------------------------

    def _values(self, source: Source) -> Iterator[Value]:
        artifact = source.artifact
        image, model, sampler = self.names(artifact)
        sampler = _REFERENCE_OF.get(source.dataset, sampler)
        families = self._families(source)
        for key in source.keys:
            t, seed = (math.nan, -1) if key == FLOOR else key
            entry = source.kept.entries.get(key)
            found = entry.values if entry else {}
            for name in families:
                for suffix, value in found.get(name, {}).items():
                    place = image, model, sampler, t, seed, source.log_snr[key]
                    yield Value(*place, name + suffix, value)

    def _families(self, source: Source) -> list[str]:
        """The measures to tell: those asked for, and by default what is kept of networks too."""
        stamps = source.kept.stamps
        others = (name for name, stamp in self.stamps.items() if stamps.get(name) == stamp)
        return list(dict.fromkeys([*self.measures, *sorted(others)]))

    def _of_networks(self) -> dict[str, str]:
        """Measure → the stamp that most samples have of it, of those that were not asked for.

        Numbers of different weights are no one measure, and have no mean: the others are not told.
        """
        counts: dict[str, Counter[str]] = {}
        for source in self.sources:
            for name, stamp in source.kept.stamps.items():
                if name not in self.measures and _still_told(name, stamp):
                    counts.setdefault(name, Counter())[stamp] += source.count(name)
        found = {name: sorted(each, key=lambda stamp: (-each[stamp], stamp))
                 for name, each in sorted(counts.items())}  # fmt: skip
        self.notes += [_mixed(name, counts[name]) for name, each in found.items()
                       if len(+counts[name]) > 1]  # fmt: skip
        return {name: each[0] for name, each in found.items()}


def _is_light(measure: Metric) -> bool:
    """Whether other processes can take it: no network, and a function that they find."""
    return not measure.needs and portable(measure)


def _processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_REFERENCE_OF = {dataset: f"reference:{name}" for name, dataset in REFERENCES.items()}


@dataclass(frozen=True)
class Head:
    """What an artifact's files say about themselves."""

    fixed: dict[str, str]
    """`x0`, `x0_floor` → content of the first part that holds it."""
    contents: dict[Key, str]
    """(t, seed) → content of the part that holds it."""


def _head(artifact: Artifact) -> Head:
    head = Head({}, {})
    for part in artifact.parts:
        with part.opened() as group:
            content, keys = str(group.attrs["content_sha256"]), hdf5.read_keys(group)
            names = [name for name in fixed() if name in group]
        for name in names:
            head.fixed.setdefault(name, content)
        for key in keys:
            head.contents.setdefault(key, content)
    return head


def _passing(name: str) -> str:
    return (f"{name} depends on more than nca can compare, so it is measured each time: "
            "name that in Metric(…, weights=…) to keep the values")  # fmt: skip


def _mixed(name: str, counts: Counter[str]) -> str:
    """What is told where samples were measured with different weights."""
    told = max(counts.values())
    known = described(name)
    option = known.named_by if known else ""
    return (f"{name} was measured with different weights, and only what most samples have is told "
            f"({told} of {counts.total()}): to have all of one, nca measure {option}")  # fmt: skip


def _datasets(references: Sequence[str]) -> list[str]:
    unknown = [name for name in references if name not in REFERENCES]
    if unknown:
        raise UsageError(f"unknown reference {unknown[0]!r}", f"one of: {', '.join(REFERENCES)}")
    return [REFERENCES[name] for name in references]


def _still_told(name: str, stamp: str) -> bool:
    """Whether kept values of a network are of the measure as it is now, whatever its weights."""
    each = described(name)
    return each is not None and bool(each.needs) and stamp.split(" ")[0] == str(each.version)


def wanted_measures(names: Iterable[str] | None, settings: Settings) -> dict[str, Metric]:
    """The measures to compute, ready to be: those that need a network with their weights loaded.

    Raises `UsageError` for a name that is unknown or lacks its weights.
    """
    without = {name: METRICS[name] for name in (*cheap(), *cheap(X0_FLOOR))}
    ready = {**without, **_networks(settings)}
    if names is None:
        return ready
    found: dict[str, Metric] = {}
    for name in names:
        family = [other for other in ready if other == name or
                  (_named_by(name) and other.startswith(f"{name}-"))]  # fmt: skip
        if not family:
            raise _unavailable(name)
        found.update((other, ready[other]) for other in family)
    return found


def _networks(settings: Settings) -> dict[str, Metric]:
    if not settings.lpips_weights and not settings.backbone:
        return {}
    from nca_cli.metrics.features import feature_measures
    from nca_cli.metrics.lpips import lpips_measures

    device, found = pick_device(settings.device), {}
    if settings.lpips_weights:
        found.update(lpips_measures(settings.lpips_weights, device))
    if settings.backbone:
        found.update(feature_measures(settings.backbone, device))
    return found


def _named_by(family: str) -> str:
    """The option that names the networks of a family such as `lpips`; nothing if it has none."""
    found = (each for name, each in METRICS.items() if name.partition("-")[0] == family)
    return next((each.named_by for each in found), "")


def _unavailable(name: str) -> UsageError:
    known, family = described(name), name.partition("/")[0]
    option = _named_by(family.partition("-")[0])
    if option and (known or _named_by(family)):
        return UsageError(f"measure {name} needs a network", f"name its weights: {option}")
    if known:
        return UsageError(f"{name!r} is one value of the measure {family}", f"--measure {family}")
    return UsageError(f"unknown measure {name!r}", f"one of: {', '.join(METRICS)}")
