"""What the templates call to write numbers, measures and sentences."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from nca_cli.figures.curves.titles import (
    family_title,
    full_title,
    measure_title,
    measure_unit,
    measure_what,
    measured,
    number,
    reference_title,
    scientific,
    snr,
    which_is_closer,
)
from nca_cli.report.data.words import count

__all__ = [
    "count",
    "family_title",
    "full_title",
    "measure_title",
    "measure_unit",
    "measure_what",
    "measured",
    "number",
    "reference_title",
    "scientific",
    "snr",
    "which_is_closer",
    "with_symbols",
]

_SYMBOLS = {
    "x_t": '<span class="symbol"><i>x<sub>t</sub></i></span>',
    "x̂0": '<span class="symbol"><i>x̂</i><sub>0</sub></span>',
    "x0": '<span class="symbol"><i>x</i><sub>0</sub></span>',
}
_WRITTEN = re.compile(r"(?<![\w&#;])(x_t|x̂0|x0)(?!\w)")


def with_symbols(text: str) -> Markup:
    """A sentence as HTML: escaped, then x_t, x0 and x̂0 as they are printed."""
    found = _WRITTEN.sub(lambda match: _SYMBOLS[match[1]], str(escape(text)))
    return Markup(found.replace("SNR ", "SNR&nbsp;"))
