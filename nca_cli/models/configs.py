"""What a network's configuration may say, whatever the network: checked before anything is made.

Configurations come from anywhere. A class that is made of one trusts it, so that a width of -1, a
list for a name or a million layers ends anywhere, or not at all.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST, DEEPEST = 65_536, 1000
"""More classes, channels or pixels along a side, and more layers, than any network has."""
DEPTHS = re.compile(r"(\w+_)?num_(\w+_)?layers$|(\w+_)?layers_per_block$")
COUNTS = re.compile(r"(\w+_)?(channels|groups|heads|size|dim)$|\w+_(channels|dims)$")
"""Settings that count something of which there is at least one: a number, or one for each block."""
NAMES = re.compile(r"act_fn$|\w+_type$|attention_mode$")
LISTS_OF_NAMES = re.compile(r"\w+_block_types$")
SPARE = 1 << 24
"""Numbers that a network may make beside its weights, such as tables of positions: 64 MB."""
MAKERS = ("empty", "zeros", "ones", "full", "rand", "randn", "eye", "tensor", "empty_strided")
SPANS = ("arange", "linspace", "logspace", "range")


class TooLarge(ValueError):
    """A configuration asks for more than its weights could fill."""


def odd_settings(config: Mapping[str, Any]) -> Iterator[str]:
    """What no network can be made of: `KEY VALUE, which is no …`."""
    for key, value in config.items():
        if key.startswith("_") or value is None:
            continue
        if DEPTHS.match(key):
            wanted, fits = f"whole number from 1 to {DEEPEST}", _counts(value, DEEPEST)
        elif COUNTS.match(key):
            wanted, fits = f"whole number from 1 to {MOST}", _counts(value, MOST)
        elif NAMES.match(key):
            wanted, fits = "name", isinstance(value, str)
        elif LISTS_OF_NAMES.match(key):
            wanted, fits = "list of names", _names(value)
        else:
            wanted, fits = "finite number from 0", _finite(value)
        if not fits:
            yield f"{key} {short(value)}, which is no {wanted}"


def check_depths(config: Mapping[str, Any]) -> None:
    """Raise `ValueError` for more layers than any network has."""
    depths = {key: value for key, value in config.items() if DEPTHS.match(key)}
    for what in odd_settings(depths):
        raise ValueError(what)


def _counts(value: object, most: int) -> bool:
    if isinstance(value, list | tuple):
        return 0 < len(value) <= 64 and all(each is None or _counts(each, most) for each in value)
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _finite(value: object) -> bool:
    """Whether all numbers in it are; of text, flags and tables that hold none, always."""
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or 0 <= value <= 2**31


def short(value: object) -> str:
    """A value as Python writes it, cut at 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@contextlib.contextmanager
def at_most(numbers: int) -> Iterator[None]:
    """Within it, no more than so many numbers are made by torch: `TooLarge` comes before memory is
    taken."""
    from torch.overrides import TorchFunctionMode

    class Counting(TorchFunctionMode):
        left = numbers

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.left -= asked(getattr(function, "__name__", ""), args, kwargs or {})
            if self.left < 0:
                raise TooLarge("it describes more than its weights hold")
            return function(*args, **(kwargs or {}))

    with Counting():
        yield


def asked(name: str, args: tuple, kwargs: Mapping[str, Any]) -> int:
    """How many numbers a function of torch that makes a tensor is asked for; 0 for all others."""
    if name in MAKERS:
        sizes = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
        whole = isinstance(sizes, list | tuple) and all(isinstance(each, int) for each in sizes)
        return max(0, math.prod(sizes)) if whole else 0
    if name in SPANS:
        ends = (*args, kwargs.get("end"), kwargs.get("steps"))
        return int(max([0.0, *(abs(each) for each in ends if isinstance(each, int | float))]))
    return 0
