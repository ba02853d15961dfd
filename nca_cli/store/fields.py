"""The datasets of an artifact: one record each. A new one is added here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

PIXELS = ("channel", "height", "width")
LATENTS = ("latent_channel", "latent_height", "latent_width")


@dataclass(frozen=True)
class Field:
    """One dataset: what its axes are called, and how it goes with the samples."""

    name: str
    axes: tuple[str, ...] = PIXELS
    """Of one sample; the sample axis comes before them unless the field is `fixed`."""
    long_name: str = ""
    """What it is, in ASCII, for programs that label axes with it (CF conventions, as `units`)."""
    fixed: bool = False
    """Whether it belongs to all samples of an artifact; then it lies in the first part."""
    previewed: bool = False
    """Whether `preview` shows it."""
    derived: bool = False
    """Whether each write makes it anew from the others: it is not read back."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of all axes of the dataset."""
        return self.axes if self.fixed else ("sample", *self.axes)

    @property
    def latent(self) -> bool:
        """Whether it lies in the space of a latent model rather than in pixels."""
        return self.axes == LATENTS


FIELDS = {
    field.name: field
    for field in (
        Field("t", (), "noise level"),
        Field("seed", (), "draw of the noise"),
        Field("log_snr", (), "natural logarithm of the signal-to-noise ratio"),
        Field("x0", PIXELS, "image in [-1, 1]", fixed=True),
        Field("z0", LATENTS, "latents of the image", fixed=True),
        Field("x0_floor", PIXELS, "image after the autoencoder alone", fixed=True),
        Field("x_t", PIXELS, "noised image", previewed=True),
        Field("z_t", LATENTS, "noised latents"),
        Field("x0_hat", PIXELS, "reconstruction", previewed=True),
        Field("z0_hat", LATENTS, "latents of the reconstruction"),
        Field("preview", ("height", "width", "rgb"), "picture of x_t or x0_hat", derived=True),
    )
}
"""In the order in which listings show them. docs/store-format.md says what each holds."""
UNITS = "1"
"""Of every dataset: numbers without a dimension."""
INDEX = tuple(field.name for field in FIELDS.values() if not field.axes)
"""The columns that say which sample a row is."""


def fixed() -> list[str]:
    """Names of the tensors that belong to all samples of an artifact."""
    return [name for name, field in FIELDS.items() if field.fixed]


def per_sample() -> list[str]:
    """Names of the tensors `(N, C, H, W)` of the samples."""
    return [
        name for name, field in FIELDS.items()
        if field.axes and not (field.fixed or field.derived)
    ]  # fmt: skip
