"""A whole chain through a loaded network, from any x."""

from __future__ import annotations

from nca_cli.models import find_model, load_denoiser, recipe_for
from nca_cli.samplers import Prediction, drive, start


def chain(folder, choice, x, t, fresh=None, **condition):
    """Our chain from x `(1, C, H, W)` at level t through the loaded denoiser."""
    import torch

    model = find_model(str(folder))
    recipe = recipe_for(model, choice, **condition)
    denoise = load_denoiser(model, device="cpu", **condition)

    def one(x, level):
        dtype = torch.int64 if isinstance(level.t, int) else torch.float64
        return Prediction(denoise(x, torch.tensor([level.t], dtype=dtype)).x0)

    with torch.no_grad():
        return drive(start(recipe, model.space.schedule, x, t, fresh), one)[0]
