"""How much of a concept is left at each noise level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nca_cli.analysis.remember import remembered
from nca_cli.concepts.probe import Concept, FunctionProbe, Probe
from nca_cli.concepts.truth import Labels, Truth, named, nothing_labelled, portrait_truth
from nca_cli.errors import Complain, NcaError, NothingStored, StoreError, UsageError
from nca_cli.recipe import Number
from nca_cli.store import Artifact, Filters, Namer, Names, Place, Store
from nca_cli.store.layout import NOISE

READABLE = 0.2
"""A concept of which a probe reads less than this from the clean images is left blank."""
AT_ONCE = 64

AnyProbe = Probe | FunctionProbe


class Reading(NamedTuple):
    """One concept in one reconstruction: truth, what is read in x̂0, what is read in x0."""

    image: str
    model: str
    sampler: str
    t: Number
    seed: int
    log_snr: float
    concept: str
    truth: tuple[float, ...]
    read: tuple[float, ...]
    clean: tuple[float, ...]


class ConceptPoint(NamedTuple):
    """Retention of a concept at one level; `n` images, `samples` reconstructions of them."""

    model: str
    sampler: str
    concept: str
    t: Number
    log_snr: float
    retention: float
    n: int
    samples: int


@dataclass(frozen=True)
class ConceptCurves:
    """All points, the readings they come from, and what was left out."""

    points: tuple[ConceptPoint, ...]
    readings: tuple[Reading, ...]
    notes: tuple[str, ...] = field(default=())
    probed: tuple[Concept, ...] = ()
    """What the probe says of its concepts; nothing of a function of a user."""


def retention(truth: np.ndarray, read: np.ndarray, clean: np.ndarray | None = None) -> float:
    """Share of a concept's variation that the readings still follow: 1 all of it, 0 chance.

    `truth`, `read` and `clean` are (N,) or (N, size), one row per sample. It is the slope of the
    readings over the truth, Cov(truth, read)/Var(truth), divided by the same of the readings of
    the clean images, so that what the probe cannot do is not held against the reconstruction.

    For a concept that is present or not, the slope is the mean reading where it is there less the
    mean reading where it is not: with readings of 0 and 1, twice the balanced accuracy less 1.
    One-step posterior means and exact posterior samples have the same retention, the share of the
    concept's variance that x_t determines, since for a sample x' given x_t independent of x
    Cov(x, x') = Var(E[x|x_t]) = Cov(x, E[x|x_t]). Readings that do not follow the truth give 0
    on average, be they constant or wild.

    NaN for fewer than two different truths, and where the clean images are not read (below
    `READABLE`).
    """
    truth, read = (_rows(values) for values in (truth, read))
    clean = truth if clean is None else _rows(clean)
    sound = np.isfinite(read).all(1) & np.isfinite(truth).all(1) & np.isfinite(clean).all(1)
    truth, read, clean = truth[sound], read[sound], clean[sound]
    centred = truth - truth.mean(0) if len(truth) else truth
    total = float((centred**2).sum())
    if total <= 1e-12:
        return float("nan")
    ceiling = float((centred * clean).sum()) / total
    return float((centred * read).sum()) / total / ceiling if ceiling >= READABLE else float("nan")


def _rows(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values.reshape(len(values), -1) if values.size else values.reshape(0, 1)


def concept_error(x0: object, x0_hat: object, probe: Probe | None = None) -> dict[str, float]:
    """Concept → how far its reading moved from x0 to x̂0, (C, H, W) each.

    Squared, over the concept's variance among the pictures that the probe was fitted to: 0 not at
    all, 1 as far as the average picture is, 2 as far as another picture is. Needs no labels; as a
    function of two pictures it can be registered as a metric: `concept/hair`, `concept/glasses`.
    """
    probe = probe or Probe.load()
    pair = np.stack([np.asarray(getattr(each, "x", each), np.float32) for each in (x0, x0_hat)])
    read = probe.read(pair)
    return {
        concept.name: float(np.square(np.diff(read[concept.name], axis=0)).sum() / concept.variance)
        for concept in probe.concepts
    }


def concept_readings(
    store: Store, filters: Filters = Filters(), truth: Truth | None = None,  # noqa: B008
    probe: AnyProbe | None = None, *, names: Namer | None = None,
    on_error: Complain | None = None,
) -> Iterator[Reading]:  # fmt: skip
    """Every concept in every stored reconstruction whose image has labels.

    Without `truth`, of the bundled portraits; without `probe`, by the shipped one. What cannot be
    read goes to `on_error` (without it: raised).
    """
    truth, probe = truth or portrait_truth(), probe or Probe.load()
    made = [artifact for artifact in store.require().select(filters) if not artifact.is_noise]
    names = names or Names(made)
    for artifact in made:
        try:
            labels = truth.of(artifact)
            if labels and filters.keys(artifact):
                yield from _of_artifact(store, artifact, filters, truth, probe, names)
        except (StoreError, NothingStored) as error:
            if on_error is None:
                raise
            on_error(error)


def _of_artifact(
    store: Store, artifact: Artifact, filters: Filters, known: Truth, probe: AnyProbe,
    names: Namer,
) -> list[Reading]:  # fmt: skip
    """All of an artifact, or its error: never a part."""
    noise = store.artifact(Place(artifact.model, artifact.image), NOISE)
    if noise is None:
        raise NothingStored(f"{artifact}: no {NOISE}.h5, so no image to compare with")
    clean = probe.read(noise.fixed("x0")[None])
    known.require(clean)
    truth = _truth(known.of(artifact) or {}, clean, probe)
    keys = filters.keys(artifact)
    stored = zip(artifact.t.tolist(), artifact.seed.tolist(), strict=True)
    log_snr = dict(zip(stored, artifact.log_snr.tolist(), strict=True))
    found = []
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        read = probe.read(artifact.read("x0_hat", some))
        found += [
            Reading(*names(artifact), *key, log_snr[key], name, truth[name],
                    tuple(read[name][row].tolist()), tuple(clean[name][0].tolist()))
            for row, key in enumerate(some) for name in truth
        ]  # fmt: skip
    return found


def _truth(labels: Labels, read: Mapping[str, np.ndarray], probe: AnyProbe) -> Labels:
    """The labels that are read; of what is present or not, whether there is any of it."""
    kinds = {concept.name: concept.kind for concept in probe.concepts}
    for name in labels.keys() & read.keys():
        given, wanted = len(labels[name]), read[name].shape[1]
        if given != wanted:
            columns = f"{name}_r, {name}_g, {name}_b for a colour" if wanted == 3 else name
            raise UsageError(f"{name}: the labels have {given} numbers, the probe reads {wanted}",
                             f"name columns {columns}" if wanted in (1, 3) else None)  # fmt: skip
    return {
        name: tuple(float(x > 0) for x in values) if kinds.get(name) == "present" else values
        for name, values in labels.items() if name in read
    }  # fmt: skip


def concept_points(readings: Iterable[Reading]) -> list[ConceptPoint]:
    """Retention for each (model, sampler, concept, level), in the order of the readings."""
    groups: dict[tuple[str, str, str, float], list[Reading]] = {}
    for reading in readings:
        key = (reading.model, reading.sampler, reading.concept, reading.t)
        groups.setdefault(key, []).append(reading)
    return [
        ConceptPoint(*key, some[0].log_snr, _retention(some), len({each.image for each in some}),
                     len(some))
        for key, some in groups.items()
    ]  # fmt: skip


def _retention(some: Sequence[Reading]) -> float:
    """Over images, their seeds averaged first."""
    of_image: dict[str, list[np.ndarray]] = {}
    for each in some:
        of_image.setdefault(each.image, []).append(np.array([each.truth, each.read, each.clean]))
    means = np.stack([np.mean(seeds, axis=0) for seeds in of_image.values()])
    return retention(*np.moveaxis(means, 1, 0))


def concept_curves(
    store: Store, filters: Filters = Filters(), truth: Truth | None = None,  # noqa: B008
    probe: AnyProbe | None = None, *, names: Namer | None = None,
) -> ConceptCurves:  # fmt: skip
    """Retention of every concept at every level, with n; NaN where the images cannot tell.

    Raises `NothingStored` where no stored image has labels, `UsageError` where the probe reads
    nothing that is labelled or a label may mean two images.
    """
    truth, probe = truth or portrait_truth(), probe or Probe.load()
    unknown = truth.unknown(store.require())
    if probe.concepts:
        truth.require([concept.name for concept in probe.concepts])
    readings, left_out = _kept_readings(store, filters, truth, probe, names)
    if not readings:
        raise nothing_labelled(truth, unknown)
    notes = [*truth.notes, *(f"Left out: {what}." for what in left_out)]
    if unknown:
        notes.append(f"{truth.source} has labels of images that are not stored: {named(unknown)}.")
    labelled = {name for artifact in store.select(filters) for name in _labels(truth, artifact)}
    notes += _unread(truth, labelled, {reading.concept for reading in readings}, probe)
    points = tuple(concept_points(readings))
    return ConceptCurves(points, tuple(readings), tuple(notes), tuple(probe.concepts))


def _unread(truth: Truth, labelled: set[str], read: set[str], probe: AnyProbe) -> Iterator[str]:
    """A name that is mistyped, or another word than the probe's, shows where both sides miss one.

    What a function reads beyond the labels is not known.
    """
    unread = ", ".join(sorted(labelled - read))
    missed = [concept.name for concept in probe.concepts if concept.name not in labelled]
    if unread and missed:
        yield (f"The probe does not read these labels of {truth.source}: {unread}. It "
               f"reads concepts without labels: {', '.join(missed)}.")  # fmt: skip
    elif unread and not probe.concepts:
        yield (f"The probe does not read these labels of {truth.source}: {unread}. It reads: "
               f"{', '.join(sorted(read))}.")  # fmt: skip


def _kept_readings(
    store: Store, filters: Filters, truth: Truth, probe: AnyProbe, names: Namer | None
) -> tuple[list[Reading], list[str]]:
    """All readings, and what was left out: from the store, where nothing has changed since.

    Raises the first error where there is no reading.
    """
    made = [artifact for artifact in store.select(filters) if not artifact.is_noise]
    names = names or Names(made)

    def compute() -> tuple[list[Reading], list[str]]:
        problems: list[NcaError] = []
        readings = list(concept_readings(store, filters, truth, probe, names=names,
                                         on_error=problems.append))  # fmt: skip
        if problems and not readings:
            raise problems[0]
        return readings, [error.what for error in problems]

    if probe.digest is None:
        return compute()
    artifacts = [(artifact, names(artifact)) for artifact in made]
    settings = [probe.digest, [_labels(truth, artifact) for artifact in made]]
    type_ = tuple[list[Reading], list[str]]
    return remembered(store, filters, artifacts, "concepts", type_, compute, settings)


def _labels(truth: Truth, artifact: Artifact) -> dict[str, list[float]]:
    """As plain data; none of what cannot be read."""
    try:
        labels = truth.of(artifact) or {}
    except (StoreError, NothingStored):
        return {}
    return {name: list(numbers) for name, numbers in labels.items()}
