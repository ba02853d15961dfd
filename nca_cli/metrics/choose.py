"""Which metrics to take: those asked for by name, with the networks that the settings name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nca_cli.devices import pick_device
from nca_cli.errors import UsageError
from nca_cli.metrics.registry import METRICS, X0_FLOOR, Metric, cheap, described


@dataclass(frozen=True)
class Settings:
    """What the measures that need torch are computed with."""

    lpips_weights: tuple[str | Path, ...] = ()
    """Files: convolutions and lin weights, together or apart; see `metrics.lpips`."""
    backbone: str | None = None
    """A vision model that transformers knows: a hub id or a folder."""
    device: str = "auto"


def wanted_metrics(names: Iterable[str] | None, settings: Settings) -> dict[str, Metric]:
    """The measures to compute, ready to be: those that need a network with their weights loaded.

    Raises `UsageError` for a name that is unknown or lacks its weights.
    """
    without = {name: METRICS[name] for name in (*cheap(), *cheap(X0_FLOOR))}
    ready = {**without, **_networks(settings)}
    if names is None:
        return ready
    found: dict[str, Metric] = {}
    for name in names:
        family = [other for other in ready if other == name or
                  (_named_by(name) and other.startswith(f"{name}-"))]  # fmt: skip
        if not family:
            raise _unavailable(name)
        found.update((other, ready[other]) for other in family)
    return found


def _networks(settings: Settings) -> dict[str, Metric]:
    if not settings.lpips_weights and not settings.backbone:
        return {}
    from nca_cli.metrics.features import feature_measures
    from nca_cli.metrics.lpips import lpips_measures

    device, found = pick_device(settings.device), {}
    if settings.lpips_weights:
        found.update(lpips_measures(settings.lpips_weights, device))
    if settings.backbone:
        found.update(feature_measures(settings.backbone, device))
    return found


def _named_by(family: str) -> str:
    """The option that names the networks of a family such as `lpips`; nothing if it has none."""
    found = (each for name, each in METRICS.items() if name.partition("-")[0] == family)
    return next((each.named_by for each in found), "")


def _unavailable(name: str) -> UsageError:
    known, family = described(name), name.partition("/")[0]
    option = _named_by(family.partition("-")[0])
    if option and (known or _named_by(family)):
        return UsageError(f"measure {name} needs a network", f"name its weights: {option}")
    if known:
        return UsageError(f"{name!r} is one value of the measure {family}", f"--measure {family}")
    return UsageError(f"unknown measure {name!r}", f"one of: {', '.join(METRICS)}")
