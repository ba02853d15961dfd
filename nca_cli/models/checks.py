"""What a pipeline's configurations say and nca cannot run, refused in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nca_cli.errors import ModelError
from nca_cli.models.pipeline import Pipeline, side_of
from nca_cli.schedule import Schedule, kind_of

PREDICTIONS = ("epsilon", "v_prediction", "sample")
BENDS = (
    "use_dynamic_shifting", "invert_sigmas", "shift_terminal", "use_karras_sigmas",
    "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling",
)  # fmt: skip
"""Settings of a flow's scheduler that bend its chains, or walk them, as no sampler here does."""
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
NUMBERS = {
    "vp": ("beta_start", "beta_end", "clip_sample_range"),
    "ve": ("sigma_min", "sigma_max"),
    "flow": ("shift",),
}
"""What each kind of schedule reads of a scheduler's configuration, beside its steps."""
MOST_STEPS = 1_000_000
MOST = 65_536
"""More classes, channels or pixels along a side than any network has."""


def check_pipeline(pipeline: Pipeline, name: str) -> None:
    """Refuse what the configurations say and nca cannot run. Raises `ModelError`."""
    _check_network(pipeline, name)
    _check_scheduler(pipeline.scheduler, pipeline.prediction, name)
    if pipeline.autoencoder is not None:
        _check_autoencoder(pipeline.autoencoder.config, name)
    if pipeline.channels not in (1, 3):
        raise ModelError(name, f"works on images of {pipeline.channels} channels; nca has 3 or 1")
    for reason in pipeline.family.complaints(pipeline):
        raise ModelError(name, reason)
    if pipeline.autoencoder is not None:
        _check_latents(pipeline, pipeline.autoencoder.config, name)


def _check_network(pipeline: Pipeline, name: str) -> None:
    """Absent sizes and counts are settled elsewhere, and so is what a null means."""
    config = pipeline.network.config
    if (classes := config.get("class_embed_type")) is not None:
        raise ModelError(name, f"takes no class labels but a {classes} (class_embed_type)")
    if config.get("sample_size") is None:
        raise ModelError(name, "its config.json names no sample_size")
    try:
        side_of(config["sample_size"])
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(name, f"sample_size {config['sample_size']} is not a square") from error
    told = {key: value for key, value in config.items() if value is not None}
    for key in ("in_channels", "out_channels", pipeline.family.classes):
        _check_whole(told, key, f"its {config.get('_class_name')}", name, MOST)
    ins, outs = pipeline.ins_and_outs
    if outs not in (ins, 2 * ins):
        raise ModelError(name, f"its network turns {ins} channels into {outs}")


def _check_scheduler(config: Mapping[str, Any], prediction: str, name: str) -> None:
    kind, levels = config.get("_class_name"), kind_of(config)
    if kind not in levels.schedulers or config.get("use_flow_sigmas"):
        raise ModelError(name, f"its scheduler is a {kind}, which nca does not know")
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is None and schedule not in BETA_SCHEDULES:
        raise ModelError(name, f"its noise schedule is {schedule!r}, which nca does not know")
    _check_numbers(config, name)
    if levels.prediction is not None:
        _check_continuous(config, levels.prediction, name)
        return
    if config.get("timestep_type", "discrete") != "discrete":
        raise ModelError(name, f"its {kind} has continuous times, which nca has not")
    if prediction not in PREDICTIONS:
        raise ModelError(name, f"its network predicts {prediction!r}, which nca does not know")


def _check_continuous(config: Mapping[str, Any], prediction: str, name: str) -> None:
    """Refuse continuous levels that contradict themselves, or that an image's size would bend."""
    kind, written = config.get("_class_name"), config.get("prediction_type", prediction)
    if written != prediction:
        raise ModelError(name, f"its scheduler is a {kind}, yet its network predicts {written!r}")
    for flag in BENDS:
        if config.get(flag):
            raise ModelError(name, f"its {kind} has {flag}, which nca has not")
    if not 0 < float(config.get("sigma_min", 0.01)) < float(config.get("sigma_max", 1348.0)):
        raise ModelError(name, f"its {kind} has no range from sigma_min to sigma_max")
    if not float(config.get("shift", 1.0)) > 0:
        raise ModelError(name, f"its {kind} has a shift of {config['shift']}")


def _check_numbers(config: Mapping[str, Any], name: str) -> None:
    """Refuse a scheduler whose numbers make no schedule."""
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


def _check_autoencoder(config: Mapping[str, Any], name: str) -> None:
    """Refuse an autoencoder whose size, channels or scale cannot be read."""
    who = f"its {config.get('_class_name')}"
    _check_whole(config, "in_channels", who, name, MOST)
    _check_number(config, "scaling_factor", who, name)
    if not isinstance(config.get("block_out_channels", []), list):
        raise ModelError(name, f"{who} has block_out_channels that are no list")


def _check_latents(pipeline: Pipeline, config: Mapping[str, Any], name: str) -> None:
    """Refuse an autoencoder of other latents than the network's."""
    kind, channels = pipeline.network.kind, pipeline.shape[0]
    latents = config.get("vq_embed_dim") or config.get("latent_channels", channels)
    if latents != channels:
        raise ModelError(name, f"unet of {channels} and latents of {latents} channels")
    if config.get("shift_factor") is not None and not pipeline.family.shifts_latents:
        reason = f"its autoencoder shifts latents (shift_factor), which no {kind}"
        raise ModelError(name, f"{reason} is made for")


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
