"""What a report says, as plain data: settings, models, images, values, curves, the grid."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import mode

import numpy as np

from nca_cli.analysis import Curve, Value, curves
from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.metrics import MEASURES, measure
from nca_cli.store import Artifact, Filters, Key, Place, Store
from nca_cli.store.layout import NOISE

PICTURE_LIMIT = (2400, 16000)
"""Largest grid in pixels that goes into a page; WebP itself ends at 16383."""
PICTURE_QUALITY = 85
CELL = 128
"""Side of a picture in the grid of a page."""
MOST_IMAGES = 6
"""In the grid of a page; every one is in its numbers."""


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
    """One per measure, in the order of `MEASURES`."""

    @property
    def name(self) -> str:
        """`demo · ddim-50`."""
        return f"{self.model} · {self.sampler}"

    def curve(self, name: str) -> Curve:
        """The curve of a measure."""
        return next(curve for curve in self.curves if curve.measure == name)


@dataclass(frozen=True)
class Picture:
    """The grid as a WebP file: one seed of the first images."""

    content: bytes
    width: int
    height: int
    images: tuple[str, ...]
    seed: int


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
    picture: Picture | None = None
    measures: tuple[str, ...] = tuple(MEASURES)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Of all series."""
        return tuple(curve for series in self.series for curve in series.curves)

    @property
    def levels(self) -> list[int | float]:
        """Every t, sorted."""
        return sorted({value.t for value in self.values})

    @property
    def seeds(self) -> list[int]:
        """Every seed, sorted."""
        return sorted({value.seed for value in self.values})

    @property
    def image_names(self) -> list[str]:
        """Every image once, in the order of the store."""
        return list(dict.fromkeys(image.name for image in self.images))


def collect(store: Store, filters: Filters = Filters()) -> Report:  # noqa: B008
    """Measure all stored reconstructions that fit, and gather what describes them.

    An artifact that cannot be read is named in the notes and left out. Raises `NothingStored`
    where no reconstruction fits, and the first `StoreError` where none that fits can be read.
    """
    found = _Findings(store, filters, _Names(_reconstructions(store, filters)))
    for artifact in found.names.artifacts:
        found.add(artifact)
    if not found.values:
        raise found.problems[0] if found.problems else _nothing(store, filters)
    return found.report()


def _reconstructions(store: Store, filters: Filters) -> list[Artifact]:
    found = [artifact for artifact in store.require().select(filters) if not artifact.is_noise]
    if not found:
        raise _nothing(store, filters)
    return found


# --- names --------------------------------------------------------------------------------------


class _Names:
    """Short names of models, images and samplers; the stored ones where two would be the same."""

    def __init__(self, artifacts: Sequence[Artifact]):
        self.artifacts = artifacts
        self._clashing = {
            kind: _clashing((key(artifact), full(artifact)) for artifact in artifacts)
            for kind, key, full in (
                ("model", lambda a: a.model_name, lambda a: a.model),
                ("image", lambda a: (a.model, a.image_name), lambda a: a.image),
                ("sampler", lambda a: (a.model, a.label), lambda a: a.name),
            )
        }

    def model(self, artifact: Artifact) -> str:
        clash = artifact.model_name in self._clashing["model"]
        return artifact.model if clash else artifact.model_name

    def image(self, artifact: Artifact) -> str:
        clash = (artifact.model, artifact.image_name) in self._clashing["image"]
        return artifact.image if clash else artifact.image_name

    def sampler(self, artifact: Artifact) -> str:
        clash = (artifact.model, artifact.label) in self._clashing["sampler"]
        return artifact.name if clash else artifact.label


def _clashing(pairs: Iterable[tuple[Hashable, str]]) -> set[Hashable]:
    """The keys that stand for more than one thing."""
    things: dict[Hashable, set[str]] = {}
    for key, thing in pairs:
        things.setdefault(key, set()).add(thing)
    return {key for key, several in things.items() if len(several) > 1}


# --- measuring ----------------------------------------------------------------------------------


@dataclass
class _Findings:
    """What was read so far, one artifact after the other."""

    store: Store
    filters: Filters
    names: _Names
    values: list[Value] = field(default_factory=list)
    kept: list[Artifact] = field(default_factory=list)
    floors: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    images: dict[tuple[str, str], Image] = field(default_factory=dict)
    problems: list[NcaError] = field(default_factory=list)

    def add(self, artifact: Artifact) -> None:
        """Measure the wanted samples of an artifact; on damage keep none of them."""
        try:
            keys = self.filters.keys(artifact)
            if not keys:
                return
            noise = self._noise(artifact)
            x0 = noise.fixed("x0")
            measured = list(_measured(artifact, keys, x0))
            self._describe(artifact, noise, x0)
        except (StoreError, NothingStored) as error:
            self.problems.append(error)
            return
        self.kept.append(artifact)
        place = self.names.image(artifact), self.names.model(artifact), self.names.sampler(artifact)
        self.values += [Value(*place, *row) for row in measured]

    def _noise(self, artifact: Artifact) -> Artifact:
        """The artifact that holds the image itself."""
        noise = self.store.artifact(Place(artifact.model, artifact.image), NOISE)
        if noise is None:
            where = f"{self.store.root}/{artifact.model}/{artifact.image}"
            raise NothingStored(f"{where}: no {NOISE}.h5, so no image to compare with",
                                "write it again: nca noise")  # fmt: skip
        return noise

    def _describe(self, artifact: Artifact, noise: Artifact, x0: np.ndarray) -> None:
        """Note the image, and the floor of its autoencoder, once."""
        key = (artifact.model, artifact.image)
        if key in self.images:
            return
        name, model = self.names.image(artifact), self.names.model(artifact)
        if "x0_floor" in noise.datasets:
            floor = measure(x0, noise.fixed("x0_floor"))
            self.floors.setdefault(artifact.model, []).append(floor)
        self.images[key] = Image(name, model, artifact.image, artifact.image_info)

    def report(self) -> Report:
        picture, problem = self._picture()
        return Report(
            store=str(self.store.root),
            filters=self.filters,
            models=tuple(self._models()),
            images=tuple(self.images.values()),
            series=tuple(self._series()),
            values=tuple(self.values),
            files=tuple(name for artifact in self.kept for name in _files(self.store, artifact)),
            notes=(*self._notes(), *problem),
            picture=picture,
        )

    def _models(self) -> Iterator[Model]:
        for folder, artifact in {artifact.model: artifact for artifact in self.kept}.items():
            info, floors = artifact.model_info, self.floors.get(folder, [])
            floor = {name: float(np.mean([f[name] for f in floors])) for name in MEASURES if floors}
            yield Model(
                self.names.model(artifact), folder, str(info.get("source", "")),
                info.get("licence"), info.get("space", {}), floor,
            )  # fmt: skip

    def _series(self) -> Iterator[Series]:
        drawn: dict[tuple[str, str], list[Curve]] = {}
        for curve in curves(self.values):
            drawn.setdefault((curve.model, curve.sampler), []).append(curve)
        for artifact in {(a.model, a.name): a for a in self.kept}.values():
            model, sampler = self.names.model(artifact), self.names.sampler(artifact)
            recipe = json.loads(artifact.recipe.canonical())
            yield Series(model, sampler, artifact.name, recipe, tuple(drawn[model, sampler]))

    def _picture(self) -> tuple[Picture | None, list[str]]:
        """The grid of one seed and the first images, or a note why there is none."""
        names = list(dict.fromkeys(image.name for image in self.images.values()))[:MOST_IMAGES]
        folders = [image.folder for image in self.images.values() if image.name in names]
        seed = mode(sorted(value.seed for value in self.values))
        filters = replace(self.filters, images=tuple(folders), seeds=(seed,))
        try:
            return Picture(*_webp(self.store, filters), tuple(names), seed), []
        except NcaError as error:
            return None, [f"No grid: {error.what}."]

    def _notes(self) -> Iterator[str]:
        yield from (f"Left out: {error.what}." for error in self.problems)
        broken = {value[:5] for value in self.values
                  if value.measure == "mse" and math.isnan(value.value)}  # fmt: skip
        if broken:
            yield f"{len(broken)} of the stored samples hold values that are not numbers."
        covered: dict[tuple[str, str], set[tuple]] = {}
        for value in self.values:
            covered.setdefault(value[1:3], set()).add((value.image, value.t, value.seed))
        if len({frozenset(samples) for samples in covered.values()}) > 1:
            yield ("Not every series covers the same images, levels and seeds: "
                   "compare means only where the numbers of images agree.")  # fmt: skip


def _measured(artifact: Artifact, keys: Sequence[Key], x0: np.ndarray) -> Iterator[tuple]:
    """(t, seed, logSNR, measure, value) of each sample; reads one sample at a time."""
    stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
    log_snr = dict(zip(stored, artifact.log_snr.tolist(), strict=True))
    for key in keys:
        x0_hat = artifact.read("x0_hat", [key])[0]
        for name, value in measure(x0, x0_hat).items():
            yield *key, log_snr[key], name, value


def _webp(store: Store, filters: Filters) -> tuple[bytes, int, int]:
    """The grid of what fits: a file, its width and its height."""
    from nca_cli.grid import compose_grid

    image = compose_grid(store, filters, cell=CELL).image().convert("RGB")
    image.thumbnail(PICTURE_LIMIT)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=PICTURE_QUALITY)
    return file.getvalue(), *image.size


def _files(store: Store, artifact: Artifact) -> list[str]:
    """Where an artifact lies within the store."""
    if store.packed:
        return [part.group for part in artifact.parts]
    return [part.path.relative_to(store.root).as_posix() for part in artifact.parts]


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
    from nca_cli.grid.command import suggestion

    samplers = [*filters.samplers, *(model.sampler for model in filters.models if model.sampler)]
    return suggestion(store, replace(filters, samplers=tuple(dict.fromkeys(samplers))))
