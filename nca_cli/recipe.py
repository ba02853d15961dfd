"""What is requested: levels, seeds, and the key under which a result is stored.

No heavy import, so that the command line may read it at start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from nca_cli.errors import UsageError

DEFAULT_LEVELS: tuple[int, ...] = tuple(range(100, 1000, 100))
DEFAULT_SEEDS: tuple[int, ...] = (0,)
DEFAULT_STEPS = 50
BUILT_IN = "built in"
"""Source of a model that ships with nca; others are named by their source."""
IMPORTED = "imported"
"""Weights of reconstructions, and source of models, that came from elsewhere."""
WATCHED = "training loop"
"""Source of networks that were seen in memory while they were trained."""
EVEN, KARRAS = SPACINGS = ("even", "karras")
"""How the levels of a chain may fall."""
DTYPES = ("float32", "bfloat16", "float16")
STORE_DTYPES = ("float32", "float16")
DEFAULT_STORE = Path("nca-store")
"""The folder that is taken where no store is named."""
MAX_SEED = 2**63 - 1
MOST_NUMBERS = 1_000_000
"""In one list, and of samples of one image: no schedule has more levels."""
LARGEST = 1e30
"""Of all numbers that are asked for."""

EXAMPLES = {
    "eta": "0,0.5,1",
    "label": "3,4",
    "guidance": "1,3",
    "log-snr": "4,0,-4",
    "seed": "0,1,2",
    "steps": "10,50",
}
"""Of lists of other numbers than levels."""

Number = int | float


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def parse_list(texts: Iterable[str], what: str = "t") -> list[Number]:
    """`["100,300", "0:1000:250"]` → `[100, 300, 0, 250, 500, 750]`; ranges are half-open.

    Order is kept and repeats are dropped. Raises `UsageError` that names the bad item, and for more
    than `MOST_NUMBERS`.
    """
    items = [item.strip() for text in texts for item in str(text).split(",")]
    spans = [_parse_item(item, what) for item in items]
    if sum(map(_count, spans)) > MOST_NUMBERS:
        raise UsageError(f"{what} names more than {MOST_NUMBERS:,} numbers", "name fewer")
    return list(dict.fromkeys(number for span in spans for number in span))


def parse_seeds(texts: Iterable[str]) -> list[int]:
    """As `parse_list`, for whole numbers in 0 … 2⁶³-1."""
    return [check_seed(number) for number in parse_list(texts, "seed")]


def parse_steps(texts: Iterable[str]) -> list[int]:
    """As `parse_list`, for whole numbers from 1 on."""
    found = parse_list(texts, "steps")
    for steps in found:
        if not isinstance(steps, int) or steps < 1:
            raise UsageError(f"--steps {steps} is not a whole number from 1")
    return [int(steps) for steps in found]


def parse_labels(texts: Iterable[str]) -> list[int]:
    """As `parse_list`, for classes: whole numbers from 0 on."""
    found = parse_list(texts, "label")
    for label in found:
        if not isinstance(label, int) or label < 0:
            raise UsageError(f"--label {label} is not a class", "whole numbers from 0 on")
    return [int(label) for label in found]


def parse_at(texts: Iterable[str]) -> list[int]:
    """As `parse_list`, for steps of a training: whole numbers from 0 on."""
    found = parse_list(texts, "at")
    for step in found:
        if not isinstance(step, int) or step < 0:
            raise UsageError(f"--at {step} is not a step of a training", "whole numbers from 0 on")
    return [int(step) for step in found]


def check_seed(seed: Any) -> int:
    """`seed` as a plain integer, whose digits are part of the key of ε.

    Raises `UsageError` for what is no whole number in 0 … 2⁶³-1.
    """
    number = whole_number(seed)
    if number is None or not 0 <= number <= MAX_SEED:
        raise UsageError(f"seed {seed!r} is not a whole number from 0 to {MAX_SEED}")
    return number


def whole_number(value: Any) -> int | None:
    """An integer of any kind (NumPy's, a bool) as a plain one; `None` for all else, 1.0 too."""
    try:
        return int(operator.index(value))
    except TypeError:
        return None


def check_axis(t: Iterable[Number] | None, log_snr: Iterable[float] | None) -> None:
    """Raises `UsageError` where levels are named by t and by logSNR at once."""
    if t is not None and log_snr is not None:
        raise UsageError("--t and --log-snr exclude each other", "give one of them")


def _count(span: Sequence[Number]) -> int:
    """How many numbers there are; Python knows no length of long ranges."""
    try:
        return len(span)
    except OverflowError:
        return MOST_NUMBERS + 1


def _parse_item(item: str, what: str) -> Sequence[Number]:
    if ":" not in item:
        return [_parse_number(item, what)]
    bounds = [_parse_number(part, what) for part in item.split(":")]
    whole = [bound for bound in bounds if isinstance(bound, int)]
    if len(bounds) > 3 or whole != bounds:
        raise UsageError(f"{what} range {item!r} is not START:STOP or START:STOP:STEP")
    if len(whole) == 3 and whole[2] <= 0:
        raise UsageError(f"{what} range {item!r} needs a step above 0")
    span = range(*whole)
    if not span:
        raise UsageError(f"{what} range {item!r} is empty", "ranges are half-open: 0:1000:100")
    return span


def _parse_number(text: str, what: str) -> Number:
    number: Number | None = None
    with contextlib.suppress(ValueError):
        number = int(text)
    if number is None and re.fullmatch(r"-?(\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][-+]?\d+)", text):
        number = float(text)
    if number is not None and not abs(number) <= LARGEST:
        raise UsageError(f"{what} {_short(text)} is too large a number")
    if number is not None:
        return number
    raise UsageError(
        f"{what} {_short(text)!r} is not a number",
        f"give a list such as --{what} {EXAMPLES.get(what, '100,300 or 0:1000:100')}",
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


@dataclass(frozen=True)
class Recipe:
    """Everything that changes an x̂0 other than image, t, seed and space.

    A field that does not bear on a sampler is `None` for it, so that equal results have equal
    keys: one-step reconstructions of `ddpm` and `ddim` are the same artifact.
    """

    weights: str
    """Hub commit, or digest of a local folder's weight files and configurations."""
    sampler: str
    sampler_version: int = 1
    steps: int | None = None
    eta: float | None = None
    clip: float | None = None
    """x̂0 is held within ±clip inside a chain; `None`: not clipped."""
    variance: str | None = None
    """Of the stochastic step: fixed_small, fixed_large or learned_range."""
    final_alpha: str | None = None
    """Where a chain ends: `one` (ᾱ = 1) or `first` (ᾱ of level 0)."""
    latent_scale: float | None = None
    dtype: str = "float32"
    tf32: bool = False
    guidance: float | None = None
    """Weight of classifier-free guidance towards label or prompt; `None`: not guided."""
    class_label: int | None = None
    """Of a class-conditional model; `None`: none."""
    shift: float | None = None
    """Time shift of a flow-matching chain; `None`: its levels fall evenly."""
    prompt: str | None = None
    """Of a text-conditional model, "" where none was given; `None` for other models."""
    last: float | None = None
    """Time, before the shift, of the last step of a flow-matching chain from pure noise; `None`:
    1/steps."""
    clip_epsilon: str | None = None
    """What a ddim chain takes ε from once x̂0 is clipped: `recomputed`, the clipped x̂0, or `None`,
    the unclipped one."""
    threshold: float | None = None
    """Of dynamic thresholding, in the place of `clip`: the share of |x̂0| that sets its range;
    `None`: the range is fixed."""
    threshold_max: float | None = None
    """The widest range of dynamic thresholding."""
    spacing: str | None = None
    """How the levels of a chain fall: `karras`, or `None`, evenly in t."""
    no_text: str | None = None
    """What the network was given for no text, where it was given any: `zeros`, or `None`, the empty
    prompt as it is embedded."""
    told_size: str | None = None
    """What the network was told of the image: `1024x1024` (height x width), neither scaled nor
    cropped; `None`: nothing."""

    def canonical(self) -> str:
        """Canonical JSON, without the fields that do not apply."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return canonical_json({key: value for key, value in told.items() if value is not None})

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @property
    def label(self) -> str:
        """`ddim-50`, `one-step`: sampler and steps."""
        return self.sampler if self.steps is None else f"{self.sampler}-{self.steps}"

    @property
    def name(self) -> str:
        """Name of its artifacts: `ddim-50-7f31c02a`."""
        return f"{self.label}-{self.digest[:8]}"

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of `canonical`; fields of newer versions are ignored.

        Raises `ValueError` and `TypeError` for a text that is none.
        """
        known, given = {item.name for item in fields(cls)}, json.loads(text)
        if not isinstance(given, dict):
            raise ValueError("a recipe is an object of settings")
        return cls(**{key: value for key, value in given.items() if key in known})
