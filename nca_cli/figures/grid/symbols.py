"""What is shown, by name and as mathematics."""

from __future__ import annotations

from nca_cli.figures.type.text import Label, Span

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
