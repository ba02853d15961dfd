"""How a figure may be arranged: what is shown, and what rows and columns are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nca_cli.errors import UsageError

SHOW = ("x0", "floor", "x_t", "x0_hat", "diff", "error")
FIXED = ("x0", "floor")
ROWS = ("images", "models", "seeds")
COLUMNS = ("t", "snr", "seeds")
LAYOUTS = {"strips": ("x0", "x_t", "x0_hat"), "p2": ("x0", "x0_hat")}
"""What each arrangement shows. `strips`, of the research repository: x0, the x_t as a strip, and
below it a strip of x̂0 for each sampler, from low to high noise. `p2`, of P2 weighting's Fig. 3
(Choi et al., 2204.00227): the input, and beside it x̂0 from low to high SNR, under P2's stages."""


@dataclass(frozen=True)
class Choices:
    """How a figure is arranged. Raises `UsageError` for what is unknown."""

    show: tuple[str, ...]
    rows: str = "images"
    columns: str = "t"
    layout: str = "strips"
    log_snr: tuple[float, ...] = ()
    """Columns that are asked for by their logSNR."""
    fonts: tuple[str, ...] = ()
    """Files that lend characters to names, where the shipped fonts lack them."""

    def __post_init__(self) -> None:
        for what, known in (("rows", ROWS), ("columns", COLUMNS), ("layout", tuple(LAYOUTS))):
            if (given := getattr(self, what)) not in known:
                raise UsageError(f"--{what} {given!r} is unknown", f"one of: {', '.join(known)}")
        if self.rows == self.columns == "seeds":
            raise UsageError("--rows seeds --columns seeds", "seeds are either rows or columns")

    @property
    def by_snr(self) -> bool:
        """Whether levels are told apart by their SNR, whatever t they are of a model."""
        return self.columns == "snr" or bool(self.log_snr)

    @property
    def noisiest_first(self) -> bool:
        """Whether levels run from low to high SNR."""
        return self.layout == "p2"


def check_show(show: str | Iterable[str]) -> tuple[str, ...]:
    """`show` as known names, each once. Raises `UsageError`."""
    items = (
        show.split(",")
        if isinstance(show, str)
        else [part for item in show for part in item.split(",")]
    )
    names = list(dict.fromkeys(item.strip() for item in items if item.strip()))
    for name in names:
        if name not in SHOW:
            raise UsageError(f"--show {name!r} is unknown", f"of: {', '.join(SHOW)}")
    if not names:
        raise UsageError("--show names nothing", f"of: {', '.join(SHOW)}")
    return tuple(names)
