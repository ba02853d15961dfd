"""What a report is asked to be, and what it says, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nca_cli.analysis import ANY_SEED, Analysis, Curve, Point, curves
from nca_cli.concepts import ConceptRetention
from nca_cli.errors import NcaError
from nca_cli.metrics.tidy import TidyTable
from nca_cli.report.data.training import Training
from nca_cli.store import Artifact, Filters

MAX_MB = 20.0
"""Of a page, with all its pictures."""


@dataclass(frozen=True)
class ReportRequest:
    """Which part of a store is reported, with what knowledge, and into which files."""

    filters: Filters = Filters()  # noqa: RUF009
    path: Path | None = Path("report.html")
    """Of the page. None of the three files need be written."""
    csv: Path | None = None
    json: Path | None = None
    max_mb: float = MAX_MB
    """Of the page: its pictures are made smaller, and in the end only some drawn, until it fits."""
    assets: Path | None = None
    """A folder for the pictures; without one they are in the page."""
    labels: Path | None = None
    """A CSV of what is truly in the images; the bundled portraits need none."""
    probe: str | None = None
    """What reads it: `module:function`, or a file; the bundled portraits need none."""
    training_csv: Path | None = None
    """The numbers about trainings, of all their steps."""
    train_images: tuple[str, ...] = ()
    """What the trainings were trained on: files, folders, archives, globs."""
    batch_size: int | None = None
    """Of trainings that do not say theirs."""

    @property
    def options(self) -> list[tuple[str, str]]:
        """What but filters shapes the page: options and values that are not the usual ones."""
        asked = {"labels": self.labels, "probe": self.probe, "assets": self.assets,
                 "batch-size": self.batch_size,
                 "max-mb": None if self.max_mb == MAX_MB else f"{self.max_mb:g}"}  # fmt: skip
        given = [(name, str(value)) for name, value in asked.items() if value is not None]
        return given + [("train-images", images) for images in self.train_images]

    @property
    def selection(self) -> dict[str, list[str]]:
        """The filters that are set, as text, by the name of their option."""
        asked = self.filters
        samplers = [*asked.samplers, *(model.sampler for model in asked.models if model.sampler)]
        wanted = {
            "t": asked.t, "seed": asked.seeds, "image": asked.images,
            "model": dict.fromkeys(model.name for model in asked.models),
            "sampler": samplers, "recipe": asked.recipes,
        }  # fmt: skip
        return {name: [str(value) for value in values] for name, values in wanted.items() if values}


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
    """Latent models: metrics of D(E(x0)) against x0, means over images. Else empty."""


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

    def points(self, name: str) -> tuple[Point, ...]:
        """Those of a metric; none where it was not taken."""
        return next((curve.points for curve in self.curves if curve.measure == name), ())


@dataclass(frozen=True)
class Report:
    """Everything that is shown, written as CSV and written as JSON."""

    store: str
    request: ReportRequest
    models: tuple[ReportedModel, ...]
    images: tuple[ReportedImage, ...]
    series: tuple[Series, ...]
    values: TidyTable
    files: tuple[str, ...]
    """Of the reconstructions, relative to the store."""
    notes: tuple[str, ...]
    held: tuple[tuple[str, str, str, Artifact], ...]
    """(image, model, sampler) and the artifact of these names: where pictures come from."""
    baselines: TidyTable
    """Of x_t itself against x0, and of latent models' D(E(x0)), which is at no level."""
    stamps: dict[str, str]
    """Metric → its version and a digest of the weights that it was taken with."""
    analysis: Analysis
    """What goes at which level, with intervals."""
    concepts: ConceptRetention | None
    """What is left of concepts; None where the truth of none is known."""
    training: Training | None = None
    """When trainings learned what, of all their steps; None where the store holds no training."""
    problems: tuple[NcaError, ...] = ()
    """What of the store could not be read, and is left out."""

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that was taken, in the order in which they first occur."""
        return tuple(name for (name,) in self.values.distinct("measure"))

    @cached_property
    def unmeasured(self) -> tuple[str, ...]:
        """Measures that have no number of any sample: pictures may be too small for them."""
        known = self.values.rows(~np.isnan(self.values.numbers)).distinct("measure")
        return tuple(name for name in self.metrics if (name,) not in known)

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Of all series."""
        return tuple(curve for series in self.series for curve in series.curves)

    @cached_property
    def levels(self) -> list[int | float]:
        """Every t, sorted."""
        return sorted({t for (t,) in self.values.distinct("t")})

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed, sorted."""
        return sorted(seed for (seed,) in self.values.distinct("seed") if seed != ANY_SEED)

    @cached_property
    def references(self) -> list[Curve]:
        """Of what no network made: closed forms, the autoencoder's floor."""
        return curves(self.reference_values)

    @cached_property
    def reference_values(self) -> TidyTable:
        """Rows of `references`."""
        return TidyTable.joined((self.baselines, self.analysis.reference_values))

    @cached_property
    def image_names(self) -> list[str]:
        """Every image once, in the order of the store."""
        return list(dict.fromkeys(image.name for image in self.images))
