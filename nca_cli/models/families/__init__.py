"""Model families, one file each: what is particular to denoising networks of one class.

`FAMILIES` is the only place that knows them all; docs/adding-a-family.md says how to add one.
"""

from nca_cli.models.families.dit import DIT
from nca_cli.models.families.family import Family
from nca_cli.models.families.stable_diffusion import STABLE_DIFFUSION
from nca_cli.models.families.stable_diffusion_3 import STABLE_DIFFUSION_3
from nca_cli.models.families.unet import UNET

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, Family] = {
    family.network: family for family in (UNET, STABLE_DIFFUSION, DIT, STABLE_DIFFUSION_3)
}
"""By the classes of their networks."""
