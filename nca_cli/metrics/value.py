"""One measured number, and where it belongs."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """One number about one sample; the field names are the columns of the tidy table.

    What belongs to no level (an autoencoder's floor) has t and logSNR NaN: empty cells. What holds
    for every seed has seed -1.
    """

    image: str
    model: str
    sampler: str
    t: int | float
    seed: int
    log_snr: float
    measure: str
    value: float
