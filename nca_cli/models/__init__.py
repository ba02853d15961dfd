"""Models: names, spaces, recipes, and (only in `load_…`) networks.

Importing this package, finding a model and naming its recipe load neither torch nor diffusers.
`Denoiser` and `Autoencoder` are here too, and load torch when they are asked for.
"""

from nca_cli.models.digests import content_digest
from nca_cli.models.find import ModelRow, find_model, list_models
from nca_cli.models.load import load_autoencoder, load_denoiser
from nca_cli.models.settle import recipe_for
from nca_cli.models.space import Model, Space

__all__ = [
    "Model",
    "ModelRow",
    "Space",
    "content_digest",
    "find_model",
    "list_models",
    "load_autoencoder",
    "load_denoiser",
    "recipe_for",
]


def __getattr__(name: str) -> object:
    if name == "Denoiser":
        from nca_cli.models.denoiser import Denoiser

        return Denoiser
    if name == "Autoencoder":
        from nca_cli.models.autoencoder import Autoencoder

        return Autoencoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
