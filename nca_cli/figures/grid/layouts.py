"""What a figure may show, and how: symbols, and one record for each layout and each axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nca_cli.figures.type.text import Label, Span
from nca_cli.recipe import Number

T: Label = (Span("t", "math"),)
X0: Label = (Span("x", "math"), Span("0", "sub"))
X_T: Label = (Span("x", "math"), Span("t", "mathsub"))
X0_HAT: Label = (Span("x", "hat"), Span("0", "sub"))
DIFF: Label = (*X0_HAT, Span(" − "), *X0)
SNR: Label = (Span("SNR"),)
LOG_SNR: Label = (Span("log SNR"),)

SYMBOLS: dict[str, Label] = {
    "x0": X0,
    "floor": (Span("D", "math"), Span("("), Span("E", "math"), Span("("), *X0, Span("))")),
    "x_t": X_T,
    "x0_hat": X0_HAT,
    "diff": DIFF,
    "error": (Span("|"), *DIFF, Span("|")),
}
SHOW = tuple(SYMBOLS)
FIXED = ("x0", "floor")
"""Of an image alone, whatever the level and seed."""


@dataclass(frozen=True)
class Axis:
    """What rows or columns run over."""

    property: str = ""
    """Of a strip, by which rows or columns are told apart; "" for levels."""
    group: tuple[str, ...] = ()
    """As rows: the properties that name a group of them, …"""
    own: tuple[str, ...] = ()
    """… and those that name a row in its group. Without any, it cannot be rows."""
    columns: bool = False
    """Whether it can be columns."""
    of_noise: bool = True
    """Whether x_t differs along it; where it does not, x_t is shown once."""


_OF_IMAGE = ("symbol", "sampler", "step", "model", "seed")
AXES = {
    "images": Axis("image", ("image",), _OF_IMAGE),
    "models": Axis("model", ("model", "sampler", "step"), ("image", "seed")),
    "step": Axis("step", ("image", "model"), ("symbol", "sampler", "step", "seed"), True, False),
    "t": Axis("", ("image",), _OF_IMAGE, columns=True),
    "snr": Axis("", ("image",), _OF_IMAGE, columns=True),
    "seeds": Axis("seed", ("image", "model", "sampler", "step"), ("seed",), columns=True),
}
ROWS = tuple(name for name, axis in AXES.items() if axis.own)
COLUMNS = tuple(name for name, axis in AXES.items() if axis.columns)


@dataclass(frozen=True)
class Layout:
    """A way to arrange what is stored."""

    show: tuple[str, ...]
    """What it shows unless something else is asked for: names of `SHOW`."""
    rows: str = ""
    """The axis that its rows always are, of `AXES`; "": the one that is asked for."""
    columns: str = ""
    """The axis that its columns always are; "": the one that is asked for."""
    levels: Callable[[list[Number]], Iterable[Number]] = list
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
    "strips": Layout(("x0", "x_t", "x0_hat")),
    "p2": Layout(("x0", "x0_hat"), noisiest_first=True, stages=True, sampler_below=True),
}
"""`strips`, of the research repository: x0, the x_t as a strip, and below it a strip of x̂0 for
each sampler, from low to high noise. `p2`, of P2 weighting's Fig. 3 (Choi et al., 2204.00227): the
input, and beside it x̂0 from low to high SNR, under P2's stages."""
