"""Reconstructions that other programs made, as artifacts of a store like any other.

`import_pairs` is the Python twin of `nca import`. The image becomes x0 of a noise artifact
without any x_t; the reconstruction becomes x̂0 under a recipe whose weights are `imported`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nca_cli.errors import NcaError
from nca_cli.imports.pairs import SCHEDULES, Pair, named_schedule, read_csv
from nca_cli.imports.run import Importing
from nca_cli.recipe import IMPORTED
from nca_cli.store import Artifact, Store

__all__ = [
    "IMPORTED",
    "SCHEDULES",
    "ImportSummary",
    "Importing",
    "Pair",
    "import_pairs",
    "named_schedule",
    "read_csv",
]


@dataclass
class ImportSummary:
    """What a call did: pairs stored now, pairs that were there already, pairs that failed."""

    store: Store
    imported: int = 0
    cached: int = 0
    artifacts: list[Artifact] = field(default_factory=list)
    errors: list[NcaError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def import_pairs(
    pairs: Iterable[Pair], *, model: str, store: str | Path = "nca-store",
    schedule: str | Path = "linear", fit: str = "crop", replace: bool = False,
    store_dtype: str = "float32",
) -> ImportSummary:  # fmt: skip
    """Store reconstructions of another program under the name `model`.

    A pair that cannot be used is in `errors`; the others are done. Raises `UsageError` for an
    unusable name or schedule.

        import_pairs([Pair(80, "face.png", "ddim_face.png")], model="published-ddim")
    """
    summary = ImportSummary(Store(store))
    work = Importing(summary.store, model, list(pairs), named_schedule(schedule), fit=fit,
                     replace=replace, store_dtype=store_dtype,
                     on_error=summary.errors.append)  # fmt: skip
    for _ in work:
        pass
    summary.imported, summary.cached = work.imported, work.cached
    summary.artifacts, summary.notes = work.artifacts, work.notes
    return summary
