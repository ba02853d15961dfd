"""DiT (Peebles & Xie, 2212.09748): a transformer of latents under class labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nca_cli.models.families.family import Family

if TYPE_CHECKING:
    from nca_cli.models.pipeline import Pipeline


def complaints(pipeline: Pipeline) -> Iterator[str]:
    """Other transformers that were once of the same class."""
    norm = pipeline.network.config.get("norm_type", "ada_norm_zero")
    if norm != "ada_norm_zero":
        yield f"its transformer is no DiT (norm_type {norm!r})"


DIT = Family(
    "DiTTransformer2DModel", part="transformer", older_name="Transformer2DModel",
    classes="num_embeds_ada_norm", null_label=True, complaints=complaints,
)  # fmt: skip
