"""Networks from files. torch and diffusers are imported here, inside the functions.

Weights are only ever read as tensors: .safetensors, or .bin without running any code in it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models.configs import SPARE, at_most
from nca_cli.models.pipeline import AUTOENCODERS, KL_SCALE, Component, Pipeline
from nca_cli.models.space import Model
from nca_cli.models.tensors import check_finite, one_line, read_tensors
from nca_cli.models.text import Embedded, embed, quiet
from nca_cli.models.variants import variant_of
from nca_cli.recipe import DTYPES

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nca_cli.models.denoiser import Autoencoder, Condition, Denoiser, Guided
    from nca_cli.models.wiener import WienerDenoiser
    from nca_cli.schedule import Schedule

    AnyDenoiser: TypeAlias = "Denoiser | Guided | WienerDenoiser"

OLD_ATTENTION = re.compile(r"(.*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
NEW_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention weights before diffusers 0.13, still in older repositories."""
OLD_TEXT = "text_model."
"""Before the names of a text encoder's tensors, until transformers 5."""
COUNTS = ".position_ids"
"""0, 1, 2, … in older text encoders: nothing that was learned."""
RANDOM_FILLS = (
    "normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_",
    "xavier_normal_", "xavier_uniform_",
)  # fmt: skip
IDLE_VARIANCE = (
    "the network has a learned variance, but its scheduler does not use one, so ddpm ignores it"
)
WRITTEN_SCALE = (
    "latent scale 0.18215: diffusers writes it for a VQModel that named none, which means 1; "
    "if this is such a copy, set scaling_factor to 1 in its vqvae/config.json"
)
PROMPTS = 64
"""Read while text encoders are loaded: a prompt of Stable Diffusion 3 takes 11 MB as numbers."""
DISTILLED = re.compile(r"turbo|lightning|hyper-?sd|lcm|distill|consistency|schnell", re.I)
FEW_STEPS = (
    "by its name, it is distilled to few steps: its answer at one level is then no E[x0|x_t]"
)
UNUSED = "{} holds tensors that its config.json knows nothing of, left out: {}"
VARIANT = "weights of its {} are the variant {} ({})"
PICKLED = "weights come from {} (a pickle): only tensors are read from it, no code in it is run"


@dataclass
class Loaded:
    """What those who ask one model under several conditions keep between them."""

    prompts: Sequence[str] = ()
    """That will be asked for: text encoders, once loaded, read them too."""
    networks: dict[tuple, Denoiser] = field(default_factory=dict)
    """The last one that was loaded."""
    autoencoders: dict[tuple, Autoencoder] = field(default_factory=dict)
    """The last one that was loaded."""
    texts: dict[tuple[Any, str], tuple[Condition, Condition]] = field(default_factory=dict)
    """A pipeline at its size and a prompt → it and no text, as the network takes them."""

    def clear(self) -> None:
        """Keep nothing."""
        self.prompts = ()
        self.networks.clear()
        self.autoencoders.clear()
        self.texts.clear()


@dataclass(frozen=True)
class Running:
    """How and under which condition a network runs. `None`: no label, the empty prompt."""

    device: str
    dtype: str = "float32"
    tf32: bool = False
    label: int | None = None
    guidance: float | None = None
    prompt: str | None = None
    kept: Loaded = field(default_factory=Loaded, compare=False)

    @property
    def numerics(self) -> dict[str, Any]:
        """As a `Denoiser` takes them."""
        import torch

        return {"device": self.device, "dtype": getattr(torch, self.dtype), "tf32": self.tf32}


def load_denoiser(
    model: Model,
    *,
    device: str,
    dtype: str = "float32",
    tf32: bool = False,
    label: int | None = None,
    guidance: float | None = None,
    prompt: str | None = None,
    kept: Loaded | None = None,
) -> AnyDenoiser:
    """The model's network on `device`, ready to call: `(x_t, t) -> Prediction`.

    A class-conditional one answers under `label` (`None`: the label that stands for none, if any),
    a text-conditional one under `prompt` (`None`: the empty one). `kept` holds what was loaded
    before, and takes what is loaded now. Raises `ModelError`, and `UsageError` for a prompt that is
    too long.
    """
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}", f"one of: {', '.join(DTYPES)}")
    running = Running(device, dtype, tf32, label, guidance, prompt, kept or Loaded())
    return model.origin.denoiser(model, running)


def load_autoencoder(model: Model, *, device: str, kept: Loaded | None = None) -> Autoencoder:
    """The autoencoder of a latent model on `device`. Raises `ModelError`."""
    from nca_cli.models.denoiser import Autoencoder

    pipeline, known = model.origin.pipeline(model), (kept or Loaded()).autoencoders
    if (key := (pipeline.root, device)) in known:
        return known[key]
    coder, scale = pipeline.autoencoder, pipeline.latent_scale
    if coder is None or scale is None:
        raise ModelError(model.name, "works on pixels and has no autoencoder")
    network, notes = _filled(pipeline, coder, model.name)
    shift = pipeline.latent_shift or 0.0
    known.clear()
    known[key] = Autoencoder(
        network, scale, pipeline.shape, device=device, shift=shift, notes=notes
    )
    return known[key]


def denoiser_of(pipeline: Pipeline, name: str, running: Running) -> Denoiser | Guided:
    """The network of a pipeline, called `name` in errors, as its family asks it."""
    from nca_cli.models.denoiser import Guided

    given, null, heard = _conditions(pipeline, name, running)
    key = (pipeline.root, pipeline.network.weights, running.device, running.dtype, running.tf32)
    networks = running.kept.networks
    known = networks.get(key)
    denoiser = known or _unconditioned(pipeline, name, running)
    networks.clear()
    networks[key] = denoiser
    denoiser.notes = [] if known else [*heard, *denoiser.notes]  # said once
    return denoiser if given is None else Guided(denoiser, given, null, running.guidance)


def _unconditioned(pipeline: Pipeline, name: str, running: Running) -> Denoiser:
    """The network itself, whatever it is told beside x and t."""
    from nca_cli.models.denoiser import Asked, Denoiser

    doubts = [*_idle_variance(pipeline, name), *_written_scale(pipeline)]
    doubts += [FEW_STEPS] if DISTILLED.search(name) else []
    network, notes = _filled(pipeline, pipeline.network, name)
    asked = Asked(
        network, pipeline.schedule, pipeline.prediction, pipeline.shape, name,
        time=_time(pipeline), ask=pipeline.family.ask,
    )  # fmt: skip
    return Denoiser(asked, **running.numerics, notes=(*notes, *doubts))


def _time(pipeline: Pipeline) -> Callable[[Schedule, np.ndarray], np.ndarray]:
    """As the family tells the time, on the scale of a converted checkpoint that has one."""
    time, scale = pipeline.family.time, pipeline.network.config.get("time_scale")
    if scale is None:
        return time
    return lambda schedule, t: (time(schedule, t) * float(scale)).astype("float32")


Conditions = tuple["Condition | None", "Condition | None", tuple[str, ...]]


def _conditions(pipeline: Pipeline, name: str, running: Running) -> Conditions:
    """What the network answers under, what stands for none (`None`: neither), and notes."""
    import torch

    if pipeline.text_encoders:
        return _read_prompt(pipeline, name, running.prompt or "", running.kept)
    null = pipeline.null_label
    if pipeline.classes is None:
        return None, None, ()
    if (given := null if running.label is None else running.label) is None:
        raise ModelError(name, "has no null class label", "give one: label=N")
    labels = [None if n is None else {"class_labels": torch.tensor([n])} for n in (given, null)]
    return labels[0], labels[1], ()


def _read_prompt(pipeline: Pipeline, name: str, prompt: str, kept: Loaded) -> Conditions:
    """The prompt and no text, as they were read before, or now with those to come. The empty prompt
    is no text."""
    notes: list[str] = []
    place = pipeline.root, pipeline.size
    if (place, prompt) not in kept.texts:
        known = [each for each in kept.prompts if (place, each) not in kept.texts]
        prompts = [*dict.fromkeys([prompt, *known])][:PROMPTS]
        kept.texts.clear()
        for each, embedded in zip(prompts, _embedded(pipeline, name, prompts, notes), strict=True):
            both = pipeline.family.condition(embedded, pipeline)
            kept.texts[place, each] = _row(both, 0 if each else 1), _row(both, 1)
    return *kept.texts[place, prompt], tuple(notes)


def _row(condition: Condition, row: int) -> Condition:
    return {key: value[row : row + 1] for key, value in condition.items()}


def _embedded(
    pipeline: Pipeline, name: str, prompts: list[str], notes: list[str]
) -> list[tuple[Embedded, ...]]:
    """Each prompt and the empty one, through one text encoder after the other, each of which works
    on the CPU and is let go."""
    read: list[list[Embedded]] = []
    for text in pipeline.text_encoders:
        network, heard = _filled(pipeline, text, name)
        read.append(embed(network, text, pipeline.root, prompts, name))
        notes += heard
        del network
    return list(zip(*read, strict=True))


def _idle_variance(pipeline: Pipeline, name: str) -> list[str]:
    """A note on a learned variance that the scheduler does not name, and so no sampler uses.

    One that reads it from the network needs a network that gives it: else `ModelError`.
    """
    ins, outs = pipeline.ins_and_outs
    gives = outs == 2 * ins
    learned = str(pipeline.scheduler.get("variance_type")).startswith("learned")
    if learned and not gives:
        reason = "its scheduler expects a learned variance, its network gives none"
        raise ModelError(name, reason)
    return [IDLE_VARIANCE] if gives and not learned else []


def _written_scale(pipeline: Pipeline) -> list[str]:
    """A note on a scale that an autoencoder has by another one's default, it seems (issue 6725)."""
    coder = pipeline.autoencoder
    if coder is None or AUTOENCODERS[coder.kind] == KL_SCALE:
        return []
    return [WRITTEN_SCALE] if coder.config.get("scaling_factor") == KL_SCALE else []


def _filled(
    pipeline: Pipeline, component: Component, name: str
) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """The network of a component with its weights, float32 on the CPU, and notes for the user."""
    if not component.weights:
        raise ModelError(name, f"{pipeline.root / component.usual_weights} is missing")
    with quiet("diffusers"), building(), at_most(_room(pipeline, component)):
        try:
            network = component.make(component.config)
        except NcaError:
            raise
        except Exception as error:  # what a library throws at a setting is anything
            file = pipeline.root / component.config_file
            reason = f"{file} does not describe a {component.kind} ({one_line(str(error))})"
            raise ModelError(name, reason) from error
    unused = _fill(network, [pipeline.root / file for file in component.weights], name)
    pickled = [file for file in component.weights if file.endswith(".bin")][:1]
    notes = [PICKLED.format(file) for file in pickled]
    if component.weights and (variant := variant_of(component.weights[0], component.folder)):
        part = component.folder or component.kind
        notes.append(VARIANT.format(part, variant, component.weights[-1]))
    notes += [str(component.config["nca_note"])] if "nca_note" in component.config else []
    notes += [UNUSED.format(component.weights[0], _names(unused))] if unused else []
    return network.eval(), tuple(notes)


def _room(pipeline: Pipeline, component: Component) -> int:
    """How many numbers its network may consist of: a byte of its weights holds one at most."""
    files = (pipeline.root / file for file in component.weights)
    return SPARE + sum(file.stat().st_size for file in files)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Without random numbers in new networks: large ones take seconds to fill, for nothing, since
    `_fill` refuses a file that lacks a tensor."""
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if getattr(function, "__name__", "") in RANDOM_FILLS:
                return args[0] if args else (kwargs or {})["tensor"]
            return function(*args, **(kwargs or {}))

    with Unfilled():
        yield


def _fill(network: torch.nn.Module, files: list[Path], name: str) -> list[str]:
    """Copy the tensors of `files` into the network, each of which must be there.

    The names of tensors that the network has no place for; they cannot change a result.
    """
    import torch

    wanted, found = network.state_dict(), set()
    for file in files:
        if file.suffix == ".json":
            continue
        for key, value in _with_new_names(read_tensors(file, name), wanted).items():
            found.add(key)
            if key not in wanted:
                continue
            if value.shape != wanted[key].shape:
                shapes = f"{tuple(value.shape)}, not {tuple(wanted[key].shape)}"
                raise ModelError(name, f"{file}: {key} is {shapes}")
            check_finite(key, value, file, name)
            with torch.no_grad():
                wanted[key].copy_(value)
    held = {wanted[key].data_ptr() for key in found & set(wanted)}
    if absent := sorted(key for key, value in wanted.items() if value.data_ptr() not in held):
        raise ModelError(name, f"{files[0]} lacks {_names(absent)}")
    return sorted(key for key in found - set(wanted) if not key.endswith(COUNTS))


def _names(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"


def _with_new_names(
    tensors: Mapping[str, torch.Tensor], wanted: Collection[str]
) -> dict[str, torch.Tensor]:
    """The same tensors with the attention names of diffusers ≥ 0.13, or of transformers ≥ 5."""

    def attention(match: re.Match[str]) -> str:
        return f"{match[1]}.{NEW_ATTENTION[match[2]]}.{match[3]}"

    def rename(key: str) -> str:
        return key if key in wanted else OLD_ATTENTION.sub(attention, key).removeprefix(OLD_TEXT)

    return {rename(key): value for key, value in tensors.items()}
