"""Clipping of x̂0 inside chains: to a fixed range, or by dynamic thresholding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from nca_cli.recipe import Recipe


class DynamicRange(NamedTuple):
    """The range of dynamic thresholding."""

    share: float
    """Of |x̂0|: that quantile is the range, …"""
    most: float
    """… at least 1 and at most this."""


Clip: TypeAlias = float | DynamicRange | None
"""±range, one that follows x̂0, or `None`: x̂0 as it is."""


def clipped(x0: Any, clip: Clip) -> Any:
    """x̂0, an array of NumPy or torch and of one image, held in its range.

    Dynamic thresholding (Saharia et al., 2205.11487, section 2.3) holds it within ±s and divides it
    by s, a quantile of |x̂0|.
    """
    if isinstance(clip, DynamicRange):
        s = min(max(_quantile(abs(x0), clip.share), 1.0), clip.most)
        return x0.clip(-s, s) / s
    return x0 if clip is None else x0.clip(-clip, clip)


def clip_of(recipe: Recipe) -> Clip:
    """As a sampler takes it."""
    if recipe.threshold is None:
        return recipe.clip
    return DynamicRange(recipe.threshold, recipe.threshold_max or 1.0)


def _quantile(values: Any, share: float) -> float:
    """By NumPy for arrays of any device: torch's own takes no large ones."""
    import numpy as np

    return float(np.quantile(getattr(values, "cpu", lambda: values)(), share))
