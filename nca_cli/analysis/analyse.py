"""All statistics of a report in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from nca_cli.analysis.bits import Bits, bits
from nca_cli.analysis.curves import Curve, curves
from nca_cli.analysis.halflevel import HalfLevel, Order, half_levels, orders
from nca_cli.analysis.p2 import Stage, WeightShare, stages, weight_shares
from nca_cli.analysis.pairs import Distance, PairCurve, pair_distances
from nca_cli.analysis.read import StoredModel
from nca_cli.analysis.references import Excess, Reference, excess, references
from nca_cli.analysis.remember import remembered
from nca_cli.analysis.values import REFERENCE, Value
from nca_cli.analysis.variance import VarianceCurve, variances
from nca_cli.errors import StoreError
from nca_cli.metrics.tidy import TidyTable
from nca_cli.schedule import Schedule
from nca_cli.store import Filters, Namer, Names, Store


@dataclass(frozen=True)
class Analysis:
    """What the stored numbers say. Every part may be empty; blanks carry their reason."""

    curves: tuple[Curve, ...]
    """Of networks and references."""
    half_levels: tuple[HalfLevel, ...]
    orders: tuple[Order, ...]
    stages: dict[str, tuple[Stage, ...]]
    """By model; models whose schedule is not known are absent."""
    pairs: tuple[PairCurve, ...]
    variances: tuple[VarianceCurve, ...]
    references: tuple[Reference, ...]
    reference_values: tuple[Value, ...]
    """Tidy rows of the Gaussian references, as far as `values` held none."""
    excess: tuple[Excess, ...]
    bits: tuple[Bits, ...]
    weights: tuple[WeightShare, ...]

    def as_dict(self) -> dict:
        """Plain data for JSON; numbers that are not finite are left to the writer."""
        content = asdict(self)
        content["reference_values"] = [value._asdict() for value in self.reference_values]
        return content


def analyse(
    values: Iterable[Value], store: Store | None = None, filters: Filters = Filters(),  # noqa: B008
    names: Namer | None = None, distances: dict[str, Distance] | None = None,
    content: str = "ssim",
) -> Analysis:  # fmt: skip
    """Every statistic of tidy rows, and of the store's tensors where a store is given.

    `names` says how an artifact is called in the rows (by default its short names); `distances` are
    further distances for P2's pairs; `content` is the metric that P2's weights are held against.
    What was read from tensors is kept in the store (`remember`).
    """
    rows, tensors = TidyTable.of(values), _Tensors(store, filters, names)
    known = {name for (name,) in rows.distinct("sampler") if name.startswith(REFERENCE)}
    found, notes = tensors.references()
    made = [value for value in found if value.sampler not in known]
    every = TidyTable.joined((rows, made))
    return Analysis(
        curves=tuple(curves(every)),
        half_levels=tuple(half_levels(rows)),
        orders=tuple(orders(rows)),
        stages={model: stages(schedule) for model, schedule in tensors.schedules.items()},
        pairs=tuple(tensors.pairs(distances)),
        variances=tuple(tensors.variances()),
        references=tuple(notes),
        reference_values=tuple(made),
        excess=tuple(excess(every)),
        bits=tuple(bits(every.where(tensors.has_bits, "model", "sampler"), tensors.channels)),
        weights=tuple(weight_shares(rows, tensors.schedules, content)),
    )


class _Tensors:
    """What the store says beyond rows; nothing where there is none."""

    def __init__(self, store: Store | None, filters: Filters, names: Namer | None):
        self.store, self.filters = store, filters
        made = [a for a in (store.select(filters) if store else []) if not a.is_noise]
        self.names = names or Names(made)
        self.artifacts = [(artifact, self.names(artifact)) for artifact in made]
        self.models: dict[str, StoredModel] = {}
        for folder, model in {artifact.model: name[1] for artifact, name in self.artifacts}.items():
            assert store is not None  # it has artifacts
            with suppress(StoreError):
                self.models[model] = StoredModel(model, store.model_info(folder))
        self.channels = {name: model.channels for name, model in self.models.items()}

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        """By model, those that begin at level 0: the whole levels of flow matching do not."""
        known = {name: model.schedule for name, model in self.models.items()}
        return {name: one for name, one in known.items() if one is not None and one.holds(0)}

    def has_bits(self, model: str, sampler: str) -> bool:
        """Whether errors tell information: not of latent models, whose noise is not in pixels, nor
        of the full Gaussian, which has no variance in most directions and errs there without end.
        """
        latent = model in self.models and self.models[model].latent
        return not latent and sampler != f"{REFERENCE}gaussian"

    def references(self) -> tuple[list[Value], list[Reference]]:
        type_ = tuple[list[Value], list[Reference]]
        return self._read("references", type_, references) or ([], [])

    def variances(self) -> list[VarianceCurve]:
        return self._read("variances", list[VarianceCurve], variances) or []

    def pairs(self, distances: dict[str, Distance] | None) -> list[PairCurve]:
        """Kept only where the distances are the built-in one: a function has no digest."""
        if distances and self.store is not None:
            return pair_distances(self.store, self.filters, self.names, distances)
        return self._read("pairs", list[PairCurve], pair_distances) or []

    def _read(self, kind: str, type_: Any, what: Callable[..., Any]) -> Any:
        store, filters = self.store, self.filters
        if store is None or not self.artifacts:
            return None
        return remembered(
            store, filters, self.artifacts, kind, type_, lambda: what(store, filters, self.names)
        )
