"""When each level of a training learned each measure: the checkpoints of a run as an axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nca_cli.analysis.learning import Learned
from nca_cli.recipe import Number
from nca_cli.store import Filters, Store


@dataclass(frozen=True)
class Emergence:
    """One measure of one run and sampler: levels × steps."""

    run: str
    """The stored model, as tables call it."""
    sampler: str
    metric: str
    """Such as `mse`, `coherence/2` or `concept/hair`."""
    t: tuple[Number, ...]
    log_snr: tuple[float, ...]
    steps: tuple[int, ...]
    """Rising; 0 comes first where it is stored."""
    mean: tuple[tuple[float, ...], ...]
    """Levels × steps: over the images that have all steps, their seeds averaged first."""
    baseline: tuple[float, ...]
    """Per level, of what has learned nothing."""
    baseline_kind: str
    """`step 0`, `mean image` or `wiener`."""
    learned: tuple[Learned, ...]
    """Per level; `share` is G at each step after 0."""
    batch_size: int | None
    """Images seen are the step times this."""
    images: int


def emergences(
    store: Store, filters: Filters = Filters(), metrics: Iterable[str] | None = None, *,  # noqa: B008
    batch_size: int | None = None,
) -> list[Emergence]:  # fmt: skip
    """Every run and sampler that fits, metric by metric."""
    raise NotImplementedError
