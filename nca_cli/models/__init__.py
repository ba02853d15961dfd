"""Models: names, spaces, recipes, and (only in `load_…`) networks.

Importing this package, finding a model and naming its recipe load neither torch nor diffusers.
"""

from nca_cli.models.digests import content_digest
from nca_cli.models.find import ModelRow, find_model, list_models
from nca_cli.models.load import load_autoencoder, load_denoiser
from nca_cli.models.settle import recipe_for
from nca_cli.models.space import Model, Space
