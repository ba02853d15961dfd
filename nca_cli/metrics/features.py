"""Deep features: how alike x0 and x̂0 look to the layers of a network that a user names.

Per layer the cosine of the two feature maps, as in Sclocchi et al. (2402.16991): the low layers'
fade smoothly with the noise level, the high ones' fall where the content changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.metrics.prepared import BLANK, Pixels, Prepared, prepared, usable
from nca_cli.metrics.registry import FEATURES, METRICS, Metric
from nca_cli.models.backbone import find_backbone, load_backbone
from nca_cli.recipe import digest

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (".json", ".safetensors", ".bin")
"""Files that a backbone in a folder is made of: settings and weights."""
HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of pixels in [0, 1] where a backbone names none."""


def feature_metrics(backbone: str, device: str = "cpu", offline: bool = False) -> dict[str, Metric]:
    """`features-<name>`, with a value per layer, of a vision model that transformers knows.

    `backbone` is a hub id (`features-facebook--dinov2-small`, with `@revision` where one is named)
    or a local folder (its name, and 8 hex of a digest of its files). Raises `NcaError` where
    transformers is not installed, and `ModelError` for a backbone that cannot be loaded, or
    is not on this disk and cannot be fetched (`offline`: never is).
    """
    folder, commit = find_backbone(backbone, offline)
    network, scaling = load_backbone(folder, backbone)
    name, weights = _named(backbone, commit)
    cosines = Cosines(network.to(device).eval(), scaling, device)
    return {f"{FEATURES}-{name}": replace(METRICS[FEATURES], function=cosines, weights=weights)}


def _named(backbone: str, commit: str | None) -> tuple[str, str]:
    """What a backbone is called, unlike any other, and what tells its weights from others."""
    folder = Path(backbone.partition("@")[0])
    if not folder.is_dir():
        return backbone.replace("/", "--"), commit or backbone
    files = sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS)
    contents = [[file.name, _sha256(file)] for file in files]
    weights = digest(contents)[:16]
    return f"{folder.resolve().name}-{weights[:8]}", weights


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:  # in pieces: weights may be larger than memory
        return hashlib.file_digest(opened, "sha256").hexdigest()


class Cosines:
    """The cosine of each layer's features of two pictures."""

    def __init__(self, network: Any, scaling: Mapping[str, Any], device: str = "cpu"):
        self.network, self.device = network, device
        self.mean, self.spread = (scaling.get(key, HALF) for key in ("image_mean", "image_std"))
        self.side = getattr(network.config, "image_size", None)

    def __call__(self, x0: Pixels, x0_hat: Pixels) -> dict[str, float]:
        """Layer → cosine; 0 is the embedding, or what comes before the first layer."""
        a, b = prepared(x0, x0_hat)
        layers = a.once(self.features)
        if not usable(a, b):
            return {str(layer): BLANK for layer in range(len(layers))}
        pairs = enumerate(zip(layers, self.features(b), strict=True))
        return {str(layer): _cosine(x, y) for layer, (x, y) in pairs}

    def features(self, picture: Prepared) -> list[Tensor]:
        """The hidden states of one picture, at the size and scale that the network knows."""
        import torch
        from torch.nn import functional as F

        unit = np.nan_to_num(np.broadcast_to((picture.clipped + 1) / 2, (3, *picture.shape[1:])))
        x = torch.from_numpy(np.ascontiguousarray(unit[None], np.float32)).to(self.device)
        if self.side:
            size = (self.side, self.side) if isinstance(self.side, int) else tuple(self.side)
            x = F.interpolate(x, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, spread = (x.new_tensor(each)[:, None, None] for each in (self.mean, self.spread))
        with torch.inference_mode():
            seen = self.network((x - mean) / spread, output_hidden_states=True)
        return list(seen.hidden_states)


def _cosine(x: Tensor, y: Tensor) -> float:
    """Of two feature maps as one long vector each; NaN where one is all zeros."""
    x, y = x.double().flatten(), y.double().flatten()
    return float((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt())
