"""Why nothing stored fits a request: what was asked for that no artifact has, and what there is."""

from __future__ import annotations

from nca_cli.store.select import Filters, few, lacking
from nca_cli.store.store import Store


def unmet(store: Store, filters: Filters, what: str = "nothing that fits") -> str:
    """`no image cat in nca-store; stored: anna, bert`; so for models, samplers, t, seeds.

    Where each of these is stored, but not together, that the store holds `what`.
    """
    every = store.select(Filters())
    made = [one for one in every if not one.is_noise]
    kinds = (
        ("image", filters.images, [one.image_name for one in every],
         any(filters.fits_image(one.image) for one in every)),
        ("model", [one.given or one.name for one in filters.models],
         [one.model_name for one in every], any(filters.fits_model(one.model) for one in every)),
        ("sampler", filters.samplers, [one.label for one in made],
         any(filters.fits_sampler(one) for one in made)),
    )  # fmt: skip
    for kind, asked, stored, fits in kinds:
        if asked and stored and not fits:
            return f"no {kind} {few(asked)} in {store.root}; stored: {few(sorted({*stored}))}"
    fitting = [one for one in every if filters.fits(one)]
    return lacking(fitting, filters) or f"{store.root} holds {what}"
