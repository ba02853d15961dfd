"""What a report says, as plain data: settings, models, images, values, curves, statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from nca_cli.analysis import ANY_SEED, Analysis, Curve, Value, curves
from nca_cli.concepts import ConceptRetention
from nca_cli.report.request import ReportRequest
from nca_cli.store import Artifact, Filters


@dataclass(frozen=True)
class ReportedModel:
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
class ReportedImage:
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
    request: ReportRequest
    models: tuple[ReportedModel, ...]
    images: tuple[ReportedImage, ...]
    series: tuple[Series, ...]
    values: tuple[Value, ...]
    files: tuple[str, ...]
    """Of the reconstructions, relative to the store."""
    notes: tuple[str, ...]
    held: tuple[tuple[str, str, str, Artifact], ...]
    """(image, model, sampler) and the artifact of these names: where pictures come from."""
    baselines: tuple[Value, ...]
    """Of x_t itself against x0, and of latent models' D(E(x0)), which is at no level."""
    stamps: dict[str, str]
    """Measure → its version and a digest of the weights that it was taken with."""
    analysis: Analysis
    """What goes at which level, with intervals."""
    concepts: ConceptRetention | None
    """What is left of concepts; None where the truth of none is known."""

    @property
    def filters(self) -> Filters:
        """Which part of the store was asked for."""
        return self.request.filters

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
        return (*self.baselines, *self.analysis.reference_values)

    @cached_property
    def image_names(self) -> list[str]:
        """Every image once, in the order of the store."""
        return list(dict.fromkeys(image.name for image in self.images))
