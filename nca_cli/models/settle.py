"""The recipe of a model under a sampler: the scheduler's configuration settles what is open."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from nca_cli.clipping import DynamicRange
from nca_cli.errors import ModelError, UsageError
from nca_cli.images.size import height_width
from nca_cli.models.own import VARIANCES
from nca_cli.models.space import Model
from nca_cli.recipe import KARRAS, Recipe
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.samplers import METHODS, RECOMPUTED, taking

SPACED = ("leading", "trailing")
"""`timestep_spacing` of even steps, which chains have as well."""
SIGMA_SPACINGS = (
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
)  # fmt: skip
"""Flags of schedulers whose levels fall otherwise."""


def recipe_for(
    model: Model,
    choice: SamplerChoice,
    *,
    dtype: str = "float32",
    tf32: bool = False,
    label: int | None = None,
    guidance: float | None = None,
    prompt: str | None = None,
) -> Recipe:
    """Everything that changes an x̂0. Fields that do not bear on the sampler are `None`.

    Raises `ModelError` where the weights are not on this disk or their configuration asks for what
    nca has not, `UsageError` for a choice that the sampler cannot honour.
    """
    method, schedule = METHODS[choice.name], model.space.schedule
    check_condition(model, label, guidance, prompt)
    clip, dynamic = _clip(model, choice)
    return Recipe(
        weights=model.origin.identity(model),
        sampler=choice.name,
        sampler_version=method.version,
        steps=choice.steps if method.chain else None,
        eta=float(choice.eta) if "eta" in method.takes else None,  # 0 and 0.0 are one recipe
        clip=clip,
        variance=_variance(model) if "variance" in method.takes else None,
        final_alpha=_final_alpha(model, choice.name) if method.chain else None,
        latent_scale=model.space.latent_scale,
        dtype=dtype,
        tf32=tf32,
        shift=schedule.shift if method.chain and schedule.shift != 1 else None,
        last=schedule.last if method.chain else None,
        clip_epsilon=_clip_epsilon(model, choice, clip is not None or dynamic is not None),
        threshold=dynamic and dynamic.share,
        threshold_max=dynamic and dynamic.most,
        spacing=_spacing(model, choice),
        class_label=label,
        **_told(model, prompt, _guidance(guidance, prompt)),
    )


def _told(model: Model, prompt: str | None, guidance: float | None) -> dict[str, Any]:
    """What its network is told of a text, of none, and of the size of the images of its space."""
    size = "x".join(map(str, height_width(model.space.resolution)))
    return {
        "guidance": guidance,
        "prompt": (prompt or "") if model.takes_prompt else None,
        "no_text": model.no_text if not prompt or guidance is not None else None,
        "told_size": size if model.hears_size else None,
    }


def check_condition(
    model: Model, label: int | None, guidance: float | None, prompt: str | None = None
) -> None:
    """Refuse labels and prompts that the model does not take, and guidance towards nothing.

    Raises `UsageError`.
    """
    _check_label(model, label)
    if prompt is not None and not model.takes_prompt:
        raise UsageError(f"{model.name} takes no prompt", "leave out --prompt")
    if guidance is None:
        return
    if not 0 <= guidance < math.inf:
        raise UsageError(f"--guidance {guidance:g} is not a number from 0")
    if not model.takes_prompt and model.classes is None:
        reason = f"{model.name} takes neither labels nor prompts, so guidance is not possible"
        raise UsageError(reason, "leave out --guidance")
    if model.takes_prompt and prompt is None:
        raise UsageError("--guidance needs a --prompt to guide towards")
    if not model.takes_prompt and label is None:
        raise UsageError("--guidance needs a --label to guide towards")
    if guidance != 1 and not model.takes_prompt and model.null_label is None:
        reason = f"{model.name} has no null class label, so guidance is not possible"
        raise UsageError(reason, "leave out --guidance")


def _check_label(model: Model, label: int | None) -> None:
    if model.classes is None:
        if label is not None:
            hint = "leave out --label" if not model.takes_prompt else "use --prompt TEXT"
            raise UsageError(f"{model.name} takes no class labels", hint)
        return
    last = model.classes - 1
    if label is None and model.null_label is None:
        reason = f"{model.name} is class-conditional and has no null class label"
        raise UsageError(reason, f"add --label N, from 0 to {last}")
    if label is not None and not 0 <= label <= last:
        raise UsageError(f"--label {label} is not a class of {model.name}", f"from 0 to {last}")


def _guidance(guidance: float | None, prompt: str | None) -> float | None:
    """The weight, where it changes anything: not 1, nor away from and towards the same text."""
    if guidance is None or guidance == 1 or prompt == "":
        return None
    return float(guidance)  # 3 and 3.0 are one recipe


def _clip(model: Model, choice: SamplerChoice) -> tuple[float | None, DynamicRange | None]:
    """±range that x̂0 is held in, or how it follows x̂0. PNDM knows no clipping; DDPM and DDIM clip
    unless told not to."""
    config = model.scheduler
    if choice.name not in taking("clip"):
        if choice.clip and METHODS[choice.name].chain:
            able = " or ".join(taking("clip"))
            raise UsageError(f"{choice.name} cannot clip", f"leave out --clip, or use {able}")
        return None, None
    if choice.clip is None and config.get("thresholding"):
        return None, DynamicRange(*_threshold(model))
    clip = choice.clip
    if clip is None:
        clip = config.get("clip_sample", _clips_by_default(model))
    return (float(config.get("clip_sample_range", 1.0)) if clip else None), None


def _threshold(model: Model) -> tuple[float, float]:
    """Share and widest range of a scheduler's dynamic thresholding, with diffusers' defaults."""
    share = model.scheduler.get("dynamic_thresholding_ratio", 0.995)
    most = model.scheduler.get("sample_max_value", 1.0)
    for name, value, holds in (
        ("dynamic_thresholding_ratio", share, lambda: 0 < share <= 1),
        ("sample_max_value", most, lambda: 1 <= most < math.inf),
    ):
        if not isinstance(value, int | float) or not holds():
            raise ModelError(model.name, f"its scheduler's {name} is {value!r}",
                             "add --clip or --no-clip")  # fmt: skip
    return float(share), float(most)


def unfollowed(model: Model, recipes: Iterable[Recipe]) -> list[str]:
    """A note on how a scheduler's file would space the levels of chains, where they fall otherwise:
    evenly from t on, as "leading" and "trailing" do from their own first t."""
    config, even = model.scheduler, any(each.steps and each.spacing is None for each in recipes)
    if not even or model.checkpoint or len(model.space.schedule.spacings) == 1:
        return []
    asked = [f"timestep_spacing {config['timestep_spacing']}"] if (
        config.get("timestep_spacing") not in (None, *SPACED)) else []  # fmt: skip
    asked += [flag for flag in SIGMA_SPACINGS if config.get(flag)]
    hint = f" (--spacing {KARRAS} does)" if "use_karras_sigmas" in asked else ""
    told = f"the levels of chains do not follow its scheduler's {' and '.join(asked)}"
    return [f"{model.name}: {told}{hint}, they fall evenly from t"] if asked else []


def _clip_epsilon(model: Model, choice: SamplerChoice, clips: bool) -> str | None:
    """`recomputed` where ε is taken from the clipped x̂0; of checkpoints their authors' rule."""
    able = taking("clip_epsilon")
    if choice.clip_epsilon and choice.name not in able and METHODS[choice.name].chain:
        hint = f"leave out --clip-epsilon, or use {' or '.join(able)}"
        raise UsageError(f"{choice.name} takes no ε from a clipped x̂0", hint)
    if choice.name not in able or not clips:
        return None
    told = choice.clip_epsilon or model.scheduler.get("clip_epsilon")
    return RECOMPUTED if told == RECOMPUTED else None


def _spacing(model: Model, choice: SamplerChoice) -> str | None:
    """`karras`, where it is asked for; `None`: as the model's chains fall anyway."""
    method = METHODS[choice.name]
    if choice.spacing == KARRAS and method.chain and not method.any_spacing:
        able = ", ".join(name for name, each in METHODS.items() if each.any_spacing)
        raise UsageError(
            f"{choice.name} takes only even steps", f"--spacing {KARRAS} is for {able}"
        )
    spacings = model.space.schedule.spacings
    if choice.spacing not in (None, *spacings) and method.chain:
        hint = f"leave out --spacing, or say {' or '.join(spacings)}"
        raise UsageError(f"{model.name} has no {choice.spacing} steps", hint)
    if len(spacings) == 1 or not (method.chain and method.any_spacing):
        return None
    return KARRAS if choice.spacing == KARRAS else None


def _clips_by_default(model: Model) -> bool:
    """What an absent `clip_sample` means: True, as in diffusers' DDPM and DDIM schedulers.

    Not for latents whose scheduler has no such field (they are not bounded by 1), nor for models
    whose kind of scheduler never clips.
    """
    if model.space.schedule.prediction is not None:
        return False
    return not model.space.latent or str(model.scheduler.get("_class_name")).startswith("DD")


def _variance(model: Model) -> str:
    """Variance of the ancestral step; the `_log` spellings mean the same numbers."""
    usual = model.space.schedule.variance
    variance = str(model.scheduler.get("variance_type") or usual).removesuffix("_log")
    if variance not in VARIANCES:
        raise ModelError(
            model.name, f"its ddpm variance is {variance!r}, which nca does not support", "use ddim"
        )
    return variance


def _final_alpha(model: Model, sampler: str) -> str:
    """Where a chain ends: ᾱ = 1 ("one") or ᾱ_0 ("first"), as diffusers would for this sampler."""
    config = model.scheduler
    if METHODS[sampler].ends_at_image or model.space.schedule.ends_at_image:
        return "one"
    if METHODS[sampler].ends_as_ddim:
        to_one = config.get("set_alpha_to_one", True)
    else:
        knows = str(config.get("_class_name")).startswith(("PNDM", "DDIM"))
        to_one = knows and config.get("set_alpha_to_one", False)
    return "one" if to_one else "first"
