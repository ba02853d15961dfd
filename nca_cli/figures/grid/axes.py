"""What the rows and the columns of a figure may be: one record each."""

from __future__ import annotations

from dataclasses import dataclass


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


AXES = {
    "images": Axis("image", ("image",), ("symbol", "sampler", "model", "seed")),
    "models": Axis("model", ("model", "sampler"), ("image", "seed")),
    "t": Axis(columns=True),
    "snr": Axis(columns=True),
    "seeds": Axis("seed", ("image", "model", "sampler"), ("seed",), columns=True),
}
ROWS = tuple(name for name, axis in AXES.items() if axis.own)
COLUMNS = tuple(name for name, axis in AXES.items() if axis.columns)
