"""How a figure may be laid out: one record each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nca_cli.recipe import Number


def every(levels: list[Number]) -> Iterable[Number]:
    """All levels."""
    return levels


@dataclass(frozen=True)
class Layout:
    """A way to arrange what is stored."""

    show: tuple[str, ...]
    """What it shows unless something else is asked for: names of `symbols.SHOW`."""
    rows: str = ""
    """The axis that its rows always are, of `axes.AXES`; "": the one that is asked for."""
    columns: str = ""
    """The axis that its columns always are; "": the one that is asked for."""
    levels: Callable[[list[Number]], Iterable[Number]] = every
    """Which of the levels, in the order of the columns, it shows."""
    noisiest_first: bool = False
    """Whether levels run from low to high SNR."""
    stages: bool = False
    """Whether P2's stages stand above the columns."""
    sampler_below: bool = False
    """Whether the sampler of x̂0, where there is one alone, is said once, below the figure."""
    caption: str = ""
    """Below the figure, unless another is given."""


LAYOUTS = {
    "strips": Layout(show=("x0", "x_t", "x0_hat")),
    "p2": Layout(
        show=("x0", "x0_hat"),
        noisiest_first=True,
        stages=True,
        sampler_below=True,
    ),
}
"""`strips`, of the research repository: x0, the x_t as a strip, and below it a strip of x̂0 for
each sampler, from low to high noise. `p2`, of P2 weighting's Fig. 3 (Choi et al., 2204.00227): the
input, and beside it x̂0 from low to high SNR, under P2's stages."""
