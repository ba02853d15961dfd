"""What a pipeline's configurations say and nca cannot run, refused in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nca_cli.errors import ModelError
from nca_cli.images.size import height_width, resolution_of, size_text
from nca_cli.models.configs import MOST, odd_settings, short
from nca_cli.models.pipeline import MOST_PIXELS, Pipeline
from nca_cli.schedule import BETA_SCHEDULES, Schedule, kind_of

PREDICTIONS = ("epsilon", "v_prediction", "sample")
BENDS = (
    "use_dynamic_shifting", "invert_sigmas", "shift_terminal", "use_karras_sigmas",
    "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling",
)  # fmt: skip
"""Settings of a flow's scheduler that bend its chains, or walk them, as no sampler here does."""
MOST_STEPS = 1_000_000


def check_pipeline(pipeline: Pipeline, name: str) -> None:
    """Refuse what the configurations say and nca cannot run. Raises `ModelError`."""
    for reason in _complaints(pipeline):
        raise ModelError(name, reason)


def _complaints(pipeline: Pipeline) -> Iterator[str]:
    """What cannot be run. A check may rely on all before it: the first complaint ends them."""
    yield from _of_network(pipeline)
    for part in filter(None, (pipeline.network, pipeline.autoencoder)):
        who = f"its {part.kind} ({part.config_file})"
        yield from (f"{who} has {what}" for what in odd_settings(part.config))
    yield from scheduler_complaints(pipeline.scheduler, pipeline.prediction)
    coder = pipeline.autoencoder
    if coder is not None:
        yield from _of_autoencoder(coder.config)
    if max(height_width(pipeline.resolution)) > MOST_PIXELS:
        size = size_text(pipeline.resolution)
        yield f"works on images of {size} pixels; nca has up to {MOST_PIXELS}"
    if pipeline.channels not in (1, 3):
        yield f"works on images of {pipeline.channels} channels; nca has 3 or 1"
    yield from pipeline.family.complaints(pipeline)
    if coder is not None:
        yield from _of_latents(pipeline, coder.config)


def _of_network(pipeline: Pipeline) -> Iterator[str]:
    """Absent sizes and counts are settled elsewhere, and so is what a null means."""
    config = pipeline.network.config
    if (classes := config.get("class_embed_type")) is not None:
        yield f"takes no class labels but a {classes} (class_embed_type)"
    if config.get("sample_size") is None:
        yield "its config.json names no sample_size"
    try:
        resolution_of(config["sample_size"])
    except (ValueError, TypeError, OverflowError):
        yield f"sample_size {config['sample_size']} is neither a side nor [height, width]"
    who = f"its {config.get('_class_name')}"
    yield from _of_whole(config, "in_channels", who, MOST)
    for key in ("out_channels", pipeline.family.classes):
        if config.get(key) is not None:
            yield from _of_whole(config, key, who, MOST)
    ins, outs = pipeline.ins_and_outs
    if ins in (2 * outs, 4 * outs, 2 * outs + 1):
        yield (f"its network turns {ins} channels into {outs}: it takes more than x, and "
               "super-resolution and inpainting are not supported")  # fmt: skip
    if outs not in (ins, 2 * ins):
        yield f"its network turns {ins} channels into {outs}"


def scheduler_complaints(config: Mapping[str, Any], prediction: str) -> Iterator[str]:
    """Why nca cannot take the levels of a scheduler's configuration; nothing where it can."""
    kind, levels = config.get("_class_name"), kind_of(config)
    if kind not in levels.schedulers or config.get("use_flow_sigmas"):
        yield f"its scheduler is a {kind}, which nca does not know"
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is None and schedule not in BETA_SCHEDULES:
        yield f"its noise schedule is {schedule!r}, which nca does not know"
    for key in (*levels.settings, "clip_sample_range"):
        yield from _of_number(config, key, f"its {kind}")
    yield from _of_whole(config, "num_train_timesteps", f"its {kind}", MOST_STEPS)
    if levels.discrete:
        yield from _of_betas(config, f"its {kind}")
    if levels.prediction is not None:
        yield from _of_continuous(config, levels.prediction)
    elif config.get("timestep_type", "discrete") != "discrete":
        yield f"its {kind} has continuous times, which nca does not support"
    elif prediction not in PREDICTIONS:
        yield f"its network predicts {prediction!r}, which nca does not know"


def _of_continuous(config: Mapping[str, Any], prediction: str) -> Iterator[str]:
    """Continuous levels that contradict themselves, or that an image's size would bend."""
    kind, written = config.get("_class_name"), config.get("prediction_type", prediction)
    if written != prediction:
        yield f"its scheduler is a {kind}, yet its network predicts {written!r}"
    yield from (
        f"its {kind} has {flag}, which nca does not support" for flag in BENDS if config.get(flag)
    )
    if not 0 < float(config.get("sigma_min", 0.01)) < float(config.get("sigma_max", 1348.0)):
        yield f"its {kind} has no range from sigma_min to sigma_max"
    if not float(config.get("shift", 1.0)) > 0:
        yield f"its {kind} has a shift of {config['shift']}"


def _of_betas(config: Mapping[str, Any], who: str) -> Iterator[str]:
    """0 < β < 1 at every level, or there is an SNR that is no number."""
    trained, steps = config.get("trained_betas"), config.get("num_train_timesteps", 1000)
    if trained is not None:
        if not isinstance(trained, list) or not all(map(_is_number, trained)):
            yield f"{who} has trained_betas that are no list of numbers"
        if len(trained) != steps:
            yield f"{who} has {len(trained)} trained_betas and {steps} num_train_timesteps"
    ends = [config.get("beta_start", 1e-4), config.get("beta_end", 0.02)]
    if not all(0 < beta < 1 for beta in trained or ends):
        yield f"{who} has β that are not between 0 and 1"
    with np.errstate(all="ignore"):
        usable = np.isfinite(Schedule.from_config(config).alpha_bar).all()
    if not usable:
        yield f"{who} has levels whose ᾱ is no number"


def _of_autoencoder(config: Mapping[str, Any]) -> Iterator[str]:
    """A size, channels or a scale that cannot be read."""
    who = f"its {config.get('_class_name')}"
    yield from _of_whole(config, "in_channels", who, MOST)
    yield from _of_number(config, "scaling_factor", who)
    if config.get("latents_mean") or config.get("latents_std"):
        yield f"{who} scales latents channel by channel (latents_mean, latents_std)"
    if not isinstance(config.get("block_out_channels", []), list):
        yield f"{who} has block_out_channels that are no list"


def _of_latents(pipeline: Pipeline, config: Mapping[str, Any]) -> Iterator[str]:
    """Other latents than the network's."""
    kind, channels = pipeline.network.kind, pipeline.shape[0]
    latents = config.get("vq_embed_dim") or config.get("latent_channels", channels)
    if latents != channels:
        yield f"unet of {channels} and latents of {latents} channels"
    if config.get("shift_factor") is not None and not pipeline.family.shifts_latents:
        yield f"its autoencoder shifts latents (shift_factor), which no {kind} is made for"


def _is_number(value: object) -> bool:
    """A finite one; JSON knows whole numbers past those of floats, and NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _of_number(config: Mapping[str, Any], key: str, who: str) -> Iterator[str]:
    if not _is_number(config.get(key, 1)):
        yield f"{who} has {key} {short(config[key])}, which is no number"


def _of_whole(config: Mapping[str, Any], key: str, who: str, most: int) -> Iterator[str]:
    value = config.get(key, 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        yield f"{who} has {key} {short(value)}, which is not a whole number from 1 to {most}"
