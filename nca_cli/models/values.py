"""What configurations say in numbers, refused in one line where they are none or cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nca_cli.errors import ModelError
from nca_cli.schedule import Schedule, kind_of

NUMBERS = {
    "vp": ("beta_start", "beta_end", "clip_sample_range"),
    "ve": ("sigma_min", "sigma_max"),
    "flow": ("shift",),
}
"""What each kind of schedule reads of a scheduler's configuration, beside its steps."""
MOST_STEPS = 1_000_000
MOST = 65_536
"""More classes, channels or pixels along a side than any network has."""


def check_scheduler(config: Mapping[str, Any], name: str) -> None:
    """Refuse a scheduler whose numbers make no schedule. Raises `ModelError`."""
    kind, who = kind_of(config), f"its {config.get('_class_name')}"
    for key in NUMBERS[kind.kind]:
        _check_number(config, key, who, name)
    _check_whole(config, "num_train_timesteps", who, name, MOST_STEPS)
    if kind.kind == "vp":
        _check_betas(config, who, name)


def _check_betas(config: Mapping[str, Any], who: str, name: str) -> None:
    """0 < β < 1 at every level, or there is an SNR that is no number."""
    trained, steps = config.get("trained_betas"), config.get("num_train_timesteps", 1000)
    if trained is not None:
        if not isinstance(trained, list) or not all(map(_is_number, trained)):
            raise ModelError(name, f"{who} has trained_betas that are no list of numbers")
        if len(trained) != steps:
            reason = f"{who} has {len(trained)} trained_betas and {steps} num_train_timesteps"
            raise ModelError(name, reason)
    ends = [config.get("beta_start", 1e-4), config.get("beta_end", 0.02)]
    if not all(0 < beta < 1 for beta in trained or ends):
        raise ModelError(name, f"{who} has β that are not between 0 and 1")
    with np.errstate(all="ignore"):
        usable = np.isfinite(Schedule.from_config(config).alpha_bar).all()
    if not usable:
        raise ModelError(name, f"{who} has levels whose ᾱ is no number")


def check_network(config: Mapping[str, Any], keys: tuple[str, ...], name: str) -> None:
    """Refuse sizes and counts of a network that are no whole numbers; absent ones are settled
    elsewhere, and so is what a null means. Raises `ModelError`."""
    told = {key: value for key, value in config.items() if value is not None}
    for key in keys:
        _check_whole(told, key, f"its {config.get('_class_name')}", name, MOST)


def check_autoencoder(config: Mapping[str, Any], name: str) -> None:
    """Refuse an autoencoder whose size, channels or scale cannot be read. Raises `ModelError`."""
    who = f"its {config.get('_class_name')}"
    _check_whole(config, "in_channels", who, name, MOST)
    _check_number(config, "scaling_factor", who, name)
    if not isinstance(config.get("block_out_channels", []), list):
        raise ModelError(name, f"{who} has block_out_channels that are no list")


def _is_number(value: object) -> bool:
    """A finite one; JSON knows whole numbers past those of floats, and NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _check_number(config: Mapping[str, Any], key: str, who: str, name: str) -> None:
    if not _is_number(config.get(key, 1)):
        raise ModelError(name, f"{who} has {key} {_short(config[key])}, which is no number")


def _check_whole(config: Mapping[str, Any], key: str, who: str, name: str, most: int) -> None:
    value = config.get(key, 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        reason = f"{who} has {key} {_short(value)}, which is no whole number from 1 to {most}"
        raise ModelError(name, reason)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
