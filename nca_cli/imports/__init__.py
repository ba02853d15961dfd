"""Reconstructions by other programs, as artifacts of a store like any other.

`import_pairs` is the Python twin of `nca import`. The image becomes x0 of a noise artifact
without any x_t; the reconstruction becomes x̂0 under a recipe whose weights are `imported`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nca_cli.imports.pairs import SCHEDULES, Pair, named_schedule, read_csv
from nca_cli.imports.run import Importing
from nca_cli.recipe import DEFAULT_STORE, IMPORTED
from nca_cli.store import Store


def import_pairs(
    pairs: Iterable[Pair], *, model: str, store: str | Path = DEFAULT_STORE,
    schedule: str | Path = "linear", fit: str = "crop", replace: bool = False,
    store_dtype: str = "float32",
) -> Importing:  # fmt: skip
    """Store reconstructions of another program under the name `model`; returns what was done.

    A pair that cannot be used is in `errors`; the others are done. Raises `UsageError` for an
    unusable name or schedule.

        import_pairs([Pair(80, "face.png", "ddim_face.png")], model="published-ddim")
    """
    work = Importing(Store(store), model, list(pairs), named_schedule(schedule), fit=fit,
                     replace=replace, store_dtype=store_dtype)  # fmt: skip
    work.on_error = work.errors.append
    for _ in work:
        pass
    return work
