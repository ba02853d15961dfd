"""Which of the tensors in a training's file are the network's: the moving average where there is
one, without the names that wrappers put before theirs.

A file holds one table of tensors, or several under names that each program chooses for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

AVERAGES = (
    "ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "model_ema_state_dict",
    "params_ema", "net_ema", "unet_ema", "ema_unet", "network_ema",
)  # fmt: skip
"""Names of moving averages."""
NETWORKS = (
    "state_dict", "model_state_dict", "model", "params", "net", "network", "unet", "module",
)  # fmt: skip
"""Names of the weights of the last step."""
SHADOW = "shadow_params"
"""A moving average as a list, in the order of the network's parameters."""
OPTIMIZER = {"state", "param_groups"}
COUNTERS = ("initted", "step", "decay", "num_updates", "epoch")
"""Numbers that stand among the tensors of some tables."""
INSIDE = ("ema_model.", "module.")
"""What all names begin with: of a moving average's own module, of DistributedDataParallel's."""
COMPILED = re.compile(r"_orig_mod\.?")
"""What torch.compile puts into names; some moving averages leave out its dot."""
AVERAGED = "weights are the moving average of training ({})"
LAST = "weights are those of the last step ({}): it holds no moving average"
MOST_WAYS = 2
"""More ways to name a list of tensors need not be told apart."""


class NoTable(ValueError):
    """A sound file of something else than tensors by their names."""


class OptimizerState(NoTable):
    """The state of an optimizer."""


class Weights(NamedTuple):
    """Tensors of a network by their names, and what the user should know of the choice."""

    tensors: Mapping[str, torch.Tensor]
    note: str | None = None


def weights_in(value: Any) -> Weights:
    """The network's weights in what a file holds. Raises `NoTable`."""
    if not isinstance(value, Mapping):
        raise NoTable(f"holds a {type(value).__name__}, no table of tensors")
    if set(value) >= OPTIMIZER:
        raise OptimizerState("holds the state of an optimizer")
    if SHADOW in value:
        value = {"ema": value}
    average = _first(AVERAGES, value, Mapping | list | tuple)
    network = _first(NETWORKS, value, Mapping)
    found, note = value, None
    if average:
        found, note = _average(value[average], value), AVERAGED.format(average)
    elif network:
        found = value[network]
        note = None if network == "state_dict" else LAST.format(network)
    tensors, inside = _unwrapped(_table(found))
    averaged = AVERAGED.format(inside.rstrip(".")) if inside else None
    return Weights(tensors, note if average else averaged or note)


def _first(names: Iterable[str], value: Mapping[str, Any], kind: Any) -> str | None:
    """The first of the names under which there is something of a kind."""
    return next((name for name in names if isinstance(value.get(name), kind)), None)


def _average(average: Any, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A moving average by its names: its own, or those of the network beside it."""
    shadow = average.get(SHADOW) if isinstance(average, Mapping) else average
    if shadow is not None:
        return _named(shadow, value)
    deeper = _first((*AVERAGES, *NETWORKS), average, Mapping)
    return dict(average[deeper] if deeper else average)


def _named(shadow: Sequence[Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A list of tensors by the names of the network beside it, whose parameters it follows.

    Buffers are the network's own. Raises `NoTable` unless shapes leave exactly one way.
    """
    if not (network := _first(NETWORKS, value, Mapping)):
        raise NoTable(f"holds a moving average without names ({SHADOW}), and no network beside it")
    plain = _table(value[network])
    shapes = [tuple(tensor.shape) for tensor in shadow]
    ways = _alignments([(name, tuple(each.shape)) for name, each in plain.items()], shapes)
    if len(ways) != 1:
        how = "in several ways" if ways else "in no way"
        raise NoTable(f"holds a moving average without names ({SHADOW}) that fits the "
                      f"network {how}: {len(shapes)} tensors for {len(plain)} names")  # fmt: skip
    return {**plain, **dict(zip(ways[0], shadow, strict=True))}


def _alignments(
    named: Sequence[tuple[str, tuple[int, ...]]], shapes: Sequence[tuple[int, ...]]
) -> list[list[str]]:
    """The ways, up to `MOST_WAYS`, to give each shape a name of that shape, in order."""
    if len(named) == len(shapes):
        fits = all(shape == wanted for (_, shape), wanted in zip(named, shapes, strict=True))
        return [[name for name, _ in named]] if fits else []
    ways: list[list[list[str]]] = [[[]], *([] for _ in shapes)]  # by how many shapes are named
    for name, shape in named:
        for count in range(len(shapes), 0, -1):
            if shapes[count - 1] == shape:
                more = [[*way, name] for way in ways[count - 1]]
                ways[count] = (ways[count] + more)[:MOST_WAYS]
    return ways[-1]


def _table(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same, if tensors are all that it holds; counters of a moving average are left out."""
    import torch

    found = {
        str(key): item for key, item in value.items()
        if key not in COUNTERS or (torch.is_tensor(item) and item.ndim)
    }  # fmt: skip
    if others := [key for key, item in found.items() if not torch.is_tensor(item)]:
        raise NoTable(f"is not a table of tensors: {', '.join(others)} are none")
    return found


def _unwrapped(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The names of the network itself; `ema_model.` where a moving average was chosen by it."""
    found, averaged = {COMPILED.sub("", key): value for key, value in tensors.items()}, None
    for prefix in _prefixes(found):
        averaged = prefix if prefix == INSIDE[0] else averaged
        found = {key.removeprefix(prefix): value for key, value in found.items()
                 if key.startswith(prefix)}  # fmt: skip
    return found, averaged


def _prefixes(keys: Iterable[str]) -> Iterator[str]:
    """The wrappers' names, the outermost first. A moving average beside its network is preferred;
    `module.` is a wrapper's where all names begin with it."""
    left = list(keys)
    while left:
        average, module = INSIDE
        if any(key.startswith(average) for key in left):
            prefix = average
        elif all(key.startswith(module) for key in left):
            prefix = module
        else:
            return
        yield prefix
        left = [key.removeprefix(prefix) for key in left if key.startswith(prefix)]
