"""What a report says, as plain data: settings, models, images, values, curves, the grid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from nca_cli.analysis import ANY_SEED, REFERENCE, Analysis, Curve, Value, curves
from nca_cli.concepts import ConceptRetention
from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.figures.curves.charts import uneven
from nca_cli.metrics import REFERENCES, Measuring
from nca_cli.store import Artifact, Filters, Names, Store

FLOOR = "reference:floor"

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Told how many samples must be measured, it opens a bar that is told of each."""


def no_progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Shows nothing."""
    return nullcontext(lambda count: None)


@dataclass(frozen=True)
class Model:
    """A stored model. `name` is unique within a report: the folder's where two would clash."""

    name: str
    folder: str
    source: str
    licence: str | None
    space: dict
    """Schedule, shape, resolution and autoencoder, as the store has them."""
    floor: dict[str, float]
    """Latent models: measures of D(E(x0)) against x0, means over images. Else empty."""


@dataclass(frozen=True)
class Image:
    """An image under a model, which has it at its own resolution."""

    name: str
    model: str
    folder: str
    info: dict
    """Digest, fit, resolution, preprocessing version, size of the file in pixels."""


@dataclass(frozen=True)
class Series:
    """All reconstructions of one model by one recipe."""

    model: str
    sampler: str
    artifact: str
    """Name of its files: sampler, steps, digest of the recipe."""
    recipe: dict
    curves: tuple[Curve, ...]
    """One per measure, in the order of `METRICS`."""

    @property
    def name(self) -> str:
        """`demo · ddim-50`."""
        return f"{self.model} · {self.sampler}"

    def has(self, name: str) -> bool:
        """Whether a measure was taken."""
        return any(curve.measure == name for curve in self.curves)

    def curve(self, name: str) -> Curve:
        """The curve of a measure."""
        return next(curve for curve in self.curves if curve.measure == name)


@dataclass(frozen=True)
class Report:
    """Everything that is shown, written as CSV and written as JSON."""

    store: str
    filters: Filters
    models: tuple[Model, ...]
    images: tuple[Image, ...]
    series: tuple[Series, ...]
    values: tuple[Value, ...]
    files: tuple[str, ...]
    """Of the reconstructions, relative to the store."""
    notes: tuple[str, ...] = ()
    held: tuple[tuple[str, str, str, Artifact], ...] = ()
    """(image, model, sampler) and the artifact of these names: where pictures come from."""
    findings: tuple[str, ...] = ()
    """What the data say, in sentences with numbers: the page begins with them."""
    analysis: Analysis | None = None
    """What goes at which level, with intervals."""
    concepts: ConceptRetention | None = None
    """What is left of concepts whose truth is known."""
    baselines: tuple[Value, ...] = ()
    """Of x_t itself against x0, and of latent models' D(E(x0)), which is at no level."""
    stamps: dict[str, str] = field(default_factory=dict)
    """Measure → its version and a digest of the weights that it was taken with."""
    options: tuple[tuple[str, str], ...] = ()
    """What else the page was asked to hold: names and values of options."""

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Every measure that was taken, in the order in which they first occur."""
        return tuple(dict.fromkeys(value.measure for value in self.values))

    @cached_property
    def unmeasured(self) -> tuple[str, ...]:
        """Measures that have no number of any sample: pictures may be too small for them."""
        known = {value.measure for value in self.values if not math.isnan(value.value)}
        return tuple(name for name in self.measures if name not in known)

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Of all series."""
        return tuple(curve for series in self.series for curve in series.curves)

    @cached_property
    def levels(self) -> list[int | float]:
        """Every t, sorted."""
        return sorted({value.t for value in self.values})

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed, sorted."""
        return sorted({value.seed for value in self.values if value.seed != ANY_SEED})

    @cached_property
    def references(self) -> list[Curve]:
        """Of what no network made: closed forms, the autoencoder's floor."""
        return curves(self.reference_values)

    @cached_property
    def reference_values(self) -> tuple[Value, ...]:
        """Rows of `references`."""
        made = self.analysis.reference_values if self.analysis else ()
        return (*self.baselines, *made)

    @cached_property
    def image_names(self) -> list[str]:
        """Every image once, in the order of the store."""
        return list(dict.fromkeys(image.name for image in self.images))


def collect(
    store: Store, filters: Filters = Filters(), *, progress: Progress = no_progress,  # noqa: B008
) -> Report:  # fmt: skip
    """Measure all stored reconstructions that fit, and gather what describes them.

    What was measured before is taken as it was kept; `progress` is told how many samples are left.

    An artifact that cannot be read is named in the notes and left out. Raises `NothingStored`
    where no reconstruction fits, and the first `StoreError` where none that fits can be read.
    """
    _require_some(store, filters)
    work = Measuring(store, filters, references=tuple(REFERENCES))
    with progress(len(work)) as tick:
        values = work.run(tick=tick)
    if not work.artifacts:
        raise work.problems[0] if work.problems else _nothing(store, filters)
    found = _Findings(store, filters, work.names, problems=work.problems, remarks=work.notes)
    found.take(values, work.artifacts)
    return replace(found.report(), stamps=work.stamps)


def _require_some(store: Store, filters: Filters) -> None:
    """Raise `NothingStored`, with the command that computes them, if no reconstruction fits."""
    if all(artifact.is_noise for artifact in store.require().select(filters)):
        raise _nothing(store, filters)


# --- measuring ----------------------------------------------------------------------------------


@dataclass
class _Findings:
    """What was measured, and of what."""

    store: Store
    filters: Filters
    names: Names
    values: list[Value] = field(default_factory=list)
    kept: list[Artifact] = field(default_factory=list)
    baselines: list[Value] = field(default_factory=list)
    images: dict[tuple[str, str], Image] = field(default_factory=dict)
    problems: list[NcaError] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def take(self, values: Iterable[Value], artifacts: Iterable[Artifact]) -> None:
        """Note what was measured and of what; what no network made apart from the rest."""
        places = {self._described(artifact) for artifact in artifacts}
        for value in values:
            if value.sampler.startswith(REFERENCE):
                self.baselines.append(value)
            elif value[:3] in places:
                self.values.append(value)

    def _described(self, artifact: Artifact) -> tuple[str, str, str] | None:
        """Note the image of an artifact; its names, or None where its description is damaged."""
        name = self.names(artifact)
        try:
            described = Image(*name[:2], artifact.image, artifact.image_info)
        except StoreError as error:
            self.problems.append(error)
            return None
        self.images.setdefault((artifact.model, artifact.image), described)
        self.kept.append(artifact)
        return name

    def report(self) -> Report:
        return Report(
            store=str(self.store.root),
            filters=self.filters,
            models=tuple(self._models()),
            images=tuple(self.images.values()),
            series=tuple(self._series()),
            values=tuple(self.values),
            files=tuple(name for artifact in self.kept for name in _files(artifact)),
            notes=tuple(self._notes()),
            held=tuple(self._held()),
            baselines=tuple(self.baselines),
        )

    def _models(self) -> Iterator[Model]:
        for folder, artifact in {artifact.model: artifact for artifact in self.kept}.items():
            info, name = artifact.model_info, self.names.model(artifact)
            floors: dict[str, list[float]] = {}
            for value in self.baselines:
                if (value.model, value.sampler) == (name, FLOOR):
                    floors.setdefault(value.measure, []).append(value.value)
            floor = {measure: float(np.mean(each)) for measure, each in floors.items()}
            yield Model(name, folder, str(info.get("source", "")), info.get("licence"),
                        info.get("space", {}), floor)  # fmt: skip

    def _series(self) -> Iterator[Series]:
        drawn: dict[tuple[str, str], list[Curve]] = {}
        for curve in curves(self.values):
            drawn.setdefault((curve.model, curve.sampler), []).append(curve)
        for artifact in {(a.model, a.name): a for a in self.kept}.values():
            model, sampler = self.names.model(artifact), self.names.sampler(artifact)
            recipe = json.loads(artifact.header["recipe"])
            yield Series(model, sampler, artifact.name, recipe, tuple(drawn[model, sampler]))

    def _held(self) -> Iterator[tuple[str, str, str, Artifact]]:
        for artifact in self.kept:
            yield *self.names(artifact), artifact

    def _notes(self) -> Iterator[str]:
        yield from (f"Left out: {error.what}." for error in self.problems)
        yield from (f"{remark}." for remark in self.remarks)
        broken = {value[:5] for value in self.values
                  if value.measure == "mse" and math.isnan(value.value)}  # fmt: skip
        if broken:
            yield f"{len(broken)} of the stored samples hold values that are not numbers."
        yield from filter(None, [uneven(self.values)])


def _files(artifact: Artifact) -> list[str]:
    """Where an artifact lies within the store."""
    return [part.in_store for part in artifact.parts]


# --- what to do about nothing -------------------------------------------------------------------


def _nothing(store: Store, filters: Filters) -> NothingStored:
    return NothingStored(
        f"{store.root} holds no reconstruction that fits{_asked(filters)}",
        f"fill it: {_command(store, filters)}",
    )


def _asked(filters: Filters) -> str:
    """` (t 300, image cat)`, or nothing."""
    parts = [f"{name} {', '.join(values)}" for name, values in selection(filters).items()]
    return f" ({'; '.join(parts)})" if parts else ""


def selection(filters: Filters) -> dict[str, list[str]]:
    """The filters that are set, as text, by the name of their option."""
    wanted: dict[str, Iterable] = {
        "t": filters.t, "seed": filters.seeds, "image": filters.images,
        "model": dict.fromkeys(model.name for model in filters.models),
        "sampler": [*filters.samplers, *(m.sampler for m in filters.models if m.sampler)],
        "recipe": filters.recipes,
    }  # fmt: skip
    return {name: [str(value) for value in values] for name, values in wanted.items() if values}


def _command(store: Store, filters: Filters) -> str:
    """What computes the missing reconstructions."""
    from nca_cli.figures.grid.command import suggestion

    samplers = [*filters.samplers, *(model.sampler for model in filters.models if model.sampler)]
    return suggestion(store, replace(filters, samplers=tuple(dict.fromkeys(samplers))))
