"""From a store and filters to values: what is kept already, what is missing, and its measuring."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from nca_cli.devices import cores
from nca_cli.errors import LIST_HINT, NcaError, NothingStored, StoreError
from nca_cli.metrics import cache
from nca_cli.metrics.cache import FLOOR, Kept
from nca_cli.metrics.registry import Settings, Value, described, wanted_metrics
from nca_cli.metrics.sources import REFERENCE_OF, Survey, WantedSamples
from nca_cli.metrics.tidy import TidyRows, TidyTable
from nca_cli.metrics.workers import POOL_PIXELS, Task, carried_out
from nca_cli.recipe import Number
from nca_cli.shard import WHOLE, Shard
from nca_cli.store import Artifact, Filters, Key, Names, Store, unmet

CHUNK = 16
"""Samples that are read and measured at a time."""


def measure_store(
    store: Store, filters: Filters = Filters(), names: Iterable[str] | None = None, *,  # noqa: B008
    workers: int | None = None, tick: Callable[[int], None] = lambda count: None,
    settings: Settings = Settings(), references: Sequence[str] = (),  # noqa: B008
) -> list[Value]:  # fmt: skip
    """Values of all stored reconstructions that fit: those that are kept, and the rest computed.

    `names` are of `METRICS`; by default all that need no network, those whose weights the
    settings name, and whatever is kept of others. `tick` is told of measured samples. The order is
    that of the store, then t, seed and measure, whatever `workers` (default: as many as there are
    processors, where that is worth it). Artifacts that cannot be read are left out; `Measuring`
    says which. Raises `UsageError` and `NothingStored`.
    """
    work = Measuring(store, filters, names, settings=settings, references=references)
    return list(work.run(workers, tick))


class Measuring:
    """Measures of what is stored. `len()`: the samples that must be measured; `run` does it.

    Looks at every artifact that fits and at what is kept of it, and reads no tensor yet.
    """

    def __init__(
        self, store: Store, filters: Filters = Filters(), names: Iterable[str] | None = None, *,  # noqa: B008
        settings: Settings = Settings(), references: Sequence[str] = (), shard: Shard = WHOLE,  # noqa: B008
    ):  # fmt: skip
        self.store, self.filters = store, filters
        self.metrics = wanted_metrics(names, settings)
        self._all = names is None
        survey = Survey(store, filters)
        self.problems: list[NcaError] = survey.problems
        """Artifacts that could not be read, with the reason."""
        self.notes: list[str] = survey.notes
        """What else is worth telling."""
        self.notes += [_passing(name) for name, each in self.metrics.items() if not each.stamp]
        found = [one for one in store.require().select(filters) if not one.is_noise]
        if not found:
            raise NothingStored(unmet(store, filters, "no reconstruction"), LIST_HINT, store.named)
        self.names = Names(found)
        sources = survey.sources(found, references)
        self.empty = not (sources or survey.problems)
        """Whether no stored sample fits, in any share."""
        self.sources = _share(sources, shard)
        self._tasks = list(self._planned())
        self.stamps: dict[str, str] = {}
        """Metric → what the values that `run` gave were taken with; "" where that is not known."""
        self.saved = 0
        """How often values were kept since."""
        self._table: TidyTable | None = None
        self.unsaved: NcaError | None = None
        """Why values could not be kept, where that was so."""

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

    def _planned(self) -> Iterator[Task]:
        """Chunks of what must be read. What runs in this process alone stays apart."""
        for source in self.sources:
            fitting = source.fitting(self.metrics)
            light = {name: each for name, each in fitting.items() if each.portable}
            heavy = {name: each for name, each in fitting.items() if name not in light}
            for metrics in filter(None, (light, heavy)):
                keys = source.lacking(metrics)
                for start in range(0, len(keys), CHUNK):
                    chunk = tuple(keys[start : start + CHUNK])
                    yield Task(source.artifact, source.noise, source.dataset, chunk, metrics,
                               source.known(chunk))  # fmt: skip

    def run(
        self, workers: int | None = None, tick: Callable[[int], None] = lambda count: None
    ) -> TidyTable:
        """Measure what is missing, keep it, and return all values; see `measure_store`."""
        if self._table is not None:
            return self._table
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
        self.stamps = {name: each.stamp for name, each in self.metrics.items()}
        self.stamps |= self._of_networks() if self._all else {}
        rows = TidyRows()
        for source in self.sources:
            self._tell(source, rows)
            source.kept = Kept()  # all that it says is in the table now
        self._table = rows.table()
        return self._table

    def _carried_out(
        self, workers: int | None, tick: Callable[[int], None]
    ) -> Iterator[tuple[Task, Kept | NcaError]]:
        """The light tasks in processes, where that is worth it, and then the others in this one."""
        light = [task for task in self._tasks if task.portable]
        yield from carried_out(light, _workers(workers, light), tick)
        yield from carried_out([task for task in self._tasks if not task.portable], 1, tick)

    def _keep(self, source: WantedSamples, found: Kept) -> None:
        """Beside the artifact, where that can be written; else in memory alone."""
        path = cache.file_of(self.store, source.artifact)
        if path is None:  # of a packed store
            return
        if not all(os.access(p, os.W_OK) for p in (path.parent, self.store.root)):
            self.unsaved = NcaError(f"no value could be kept: {path.parent} cannot be written")
            return
        try:
            cache.save(path, self.store, source.artifact, found)
            self.saved += 1
        except StoreError as error:
            self.unsaved = NcaError(f"no value could be kept: {error.what}", error.hint)
            text = f"values are not kept: {error.reason}"
            self.notes += [] if text in self.notes else [text]

    def _tell(self, source: WantedSamples, rows: TidyRows) -> None:
        """Add the values of a source; samples that were measured alike are one block."""
        image, model, sampler = self.names(source.artifact)
        place = image, model, REFERENCE_OF.get(source.dataset, sampler)
        metrics, entries = self._families(source), source.kept.entries
        known = [(key, entries[key].values) for key in source.keys if key in entries]
        for layout, group in groupby(known, lambda sample: sample[1].places):
            some = list(group)
            measures, places = layout.told(metrics)
            samples = [(*_level(key), source.log_snr[key]) for key, _ in some]
            numbers = np.array([values.row for _, values in some])
            rows.add(place, samples, measures, numbers[:, places])

    def _families(self, source: WantedSamples) -> tuple[str, ...]:
        """The metrics to tell: those asked for, and by default what is kept of networks too."""
        stamps = source.kept.stamps
        others = (name for name, stamp in self.stamps.items() if stamps.get(name) == stamp)
        return tuple(dict.fromkeys([*self.metrics, *sorted(others)]))

    def _of_networks(self) -> dict[str, str]:
        """Metric → the stamp that most samples have of it, of those that were not asked for.

        Numbers of different weights are no one metric, and have no mean: the others are not told.
        """
        counts: dict[str, Counter[str]] = {}
        for source in self.sources:
            for name, stamp in source.kept.stamps.items():
                if name not in self.metrics and _still_told(name, stamp):
                    counts.setdefault(name, Counter())[stamp] += source.count(name)
        found = {name: sorted(each, key=lambda stamp: (-each[stamp], stamp))
                 for name, each in sorted(counts.items())}  # fmt: skip
        self.notes += [_mixed(name, counts[name]) for name, each in found.items()
                       if len(+counts[name]) > 1]  # fmt: skip
        return {name: each[0] for name, each in found.items()}


def _level(key: Key) -> tuple[Number, int]:
    """(t, seed) of a row."""
    return (math.nan, -1) if key == FLOOR else key


def _share(sources: list[WantedSamples], shard: Shard) -> list[WantedSamples]:
    """A shard's part of what is wanted, whole images as far as they go round."""
    if shard == WHOLE:
        return sources
    images: dict[tuple[str, str], list[tuple[WantedSamples, Key]]] = {}
    for source in sources:
        place = source.artifact.model, source.artifact.image
        images.setdefault(place, []).extend((source, key) for key in source.keys)
    rows = list(images.values())
    mine: dict[int, list[Key]] = {}
    for row, columns in zip(rows, shard.of([[1] * len(row) for row in rows]), strict=True):
        for source, key in (row[column] for column in columns):
            mine.setdefault(id(source), []).append(key)
    return [replace(source, keys=mine[id(source)]) for source in sources if id(source) in mine]


def _workers(wanted: int | None, tasks: Sequence[Task]) -> int:
    """How many processes: those that are wanted, or all that there are where that is worth it."""
    if wanted is not None or not tasks:
        return wanted or 1
    try:
        shape = tasks[0].artifact.datasets[tasks[0].dataset][0]
    except (StoreError, LookupError):
        return 1
    if shape[-1] * shape[-2] * sum(len(task.keys) for task in tasks) < POOL_PIXELS:
        return 1
    return cores()


def _passing(name: str) -> str:
    return (f"values of {name} are not kept, since nca cannot tell all that they depend on: "
            "name it in Metric(…, weights=…)")  # fmt: skip


def _mixed(name: str, counts: Counter[str]) -> str:
    """What is told where samples were measured with different weights."""
    told = max(counts.values())
    option = known.named_by if (known := described(name)) else ""
    return (
        f"{name} was measured with different weights; shown are the most common "
        f"({told} of {counts.total()} samples); to have one for all: nca measure {option}"
    )


def _still_told(name: str, stamp: str) -> bool:
    """Whether kept values of a network are of the metric as it is now, whatever its weights."""
    each = described(name)
    return each is not None and bool(each.needs) and stamp.split(" ")[0] == str(each.version)
