"""Prompts as a network reads them: the tokenizers and the text encoders of a pipeline.

transformers brings both and is imported here, inside the functions, for models with prompts alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models.configs import check_depths

if TYPE_CHECKING:
    import torch

    from nca_cli.models.pipeline import TextComponent

VOCABULARIES = (("vocab.json", "merges.txt"), ("tokenizer.json",))
"""The vocabulary of a tokenizer, in either of two formats."""
WHOLE_VOCABULARY = VOCABULARIES[1:]
"""Of tokenizers whose other format takes a library of its own (SentencePiece)."""


@dataclass(frozen=True)
class TextEncoder:
    """A class of text encoders of transformers, and what goes with it."""

    kind: str
    """The class."""
    config: str
    """The class of its configuration."""
    tokenizer: str
    """The class of its tokenizer."""
    vocabularies: Sequence[Sequence[str]] = VOCABULARIES
    """Files that hold a vocabulary of its kind, any of these sets of them."""
    width: str = "hidden_size"
    """Key of the width of an embedded token."""
    tokens: int | None = None
    """How many tokens it is given; `None`: its configuration says."""
    penultimate: bool = False
    """Whether its tokens are those of the last layer but one."""
    projects: bool = False
    """Whether it gives each prompt as a whole as well."""
    optional: bool = False
    """Whether a pipeline may do without it."""


CODE = ("auto_map", "quantization_config", "custom_pipelines")
"""Settings that name code, or libraries that fetch some."""
T5_TOKENS = 256
"""T5 has no end of its own, and pipelines take these many."""
CLIP = TextEncoder("CLIPTextModel", "CLIPTextConfig", "CLIPTokenizer")
PENULTIMATE_CLIP = replace(CLIP, penultimate=True)
PROJECTED_CLIP = replace(PENULTIMATE_CLIP, kind="CLIPTextModelWithProjection", projects=True)
T5 = TextEncoder(
    "T5EncoderModel", "T5Config", "T5TokenizerFast", WHOLE_VOCABULARY, "d_model", T5_TOKENS,
    optional=True,
)  # fmt: skip


class Embedded(NamedTuple):
    """Prompts as one text encoder gives them, float32."""

    tokens: torch.Tensor
    """`(prompts, tokens, width)`"""
    pooled: torch.Tensor | None = None
    """Each prompt as a whole, `(prompts, width)`, where the text encoder has a projection."""


def misfit(what: str, width: int, given: int) -> Iterator[str]:
    """The complaint about text that is given in another width than a network takes, if it is."""
    if width != given:
        yield (f"its network takes {what} of width {width}, "
               f"its text encoders give {what} of width {given}")  # fmt: skip


@contextlib.contextmanager
def quiet(library: str) -> Iterator[None]:
    """Nothing logged by `diffusers` or `transformers` meanwhile."""
    logging = importlib.import_module(f"{library}.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def check_transformers() -> None:
    """`NcaError` with the command to run, where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        reason = "models that take a prompt need transformers, which is not installed"
        raise NcaError(reason, "pip install 'nca-cli[text]'")


def make_encoder(encoder: TextEncoder, config: Mapping[str, Any]) -> torch.nn.Module:
    """The text encoder that a configuration describes, without weights. Raises `ValueError`."""
    check_transformers()
    with quiet("transformers"):
        import transformers

        try:
            made = described(getattr(transformers, encoder.config), config)
            return getattr(transformers, encoder.kind)(made)
        except Exception as error:  # its configurations have checks, and errors, of their own
            raise ValueError(str(error)) from error


def described(kind: Any, config: Mapping[str, Any]) -> Any:
    """What a file says of a network, as transformers' configuration of class `kind`.

    Without the settings of how to run it: some of them fetch kernels, native code, of the hub, or
    name code of the repository. What describes the network is all that a file has a say in. Raises
    `ValueError`.
    """
    check_depths(config)
    return kind.from_dict(_without_code(config))


def _without_code(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        key: _without_code(item) for key, item in value.items()
        if not (name := str(key)).startswith("_") and "_implementation" not in name
        and name not in CODE
    }  # fmt: skip


def embed(
    network: Any, component: TextComponent, root: Path, prompts: Sequence[str], name: str
) -> list[Embedded]:
    """Each prompt, and the empty one behind it, through a text encoder of the pipeline in `root`.

    Two by two, so that no prompt's numbers depend on the others. Raises `UsageError` for a prompt
    of more tokens than it reads, rather than cut it, and `ModelError` for a bad tokenizer.
    """
    tokenizer = _tokenizer(component, root, name)
    for prompt in prompts:
        _check_length(tokenizer, prompt, component.limit)
    return [_embedded(network, component, tokenizer, [prompt, ""], name) for prompt in prompts]


def _embedded(
    network: Any, component: TextComponent, tokenizer: Any, prompts: list[str], name: str
) -> Embedded:
    import torch

    limit = component.limit
    tokens = tokenizer(prompts, padding="max_length", max_length=limit, return_tensors="pt")
    if int(tokens.input_ids.max()) >= (known := network.get_input_embeddings().num_embeddings):
        folder, part = component.tokenizer_folder, component.folder
        raise ModelError(name, f"its {folder} knows more words than its {part} ({known})")
    with torch.inference_mode():
        if not component.encoder.penultimate:
            return Embedded(network(tokens.input_ids).last_hidden_state.float())
        output = network(tokens.input_ids, output_hidden_states=True)
        pooled = output.text_embeds.float() if component.encoder.projects else None
        return Embedded(output.hidden_states[-2].float(), pooled)


def _tokenizer(component: TextComponent, root: Path, name: str) -> Any:
    folder = root / component.tokenizer_folder
    with quiet("transformers"):
        import transformers

        try:
            kind = getattr(transformers, component.encoder.tokenizer)
            return kind.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # tokenizers raises a plain Exception
            reason = f"{folder} holds no tokenizer ({' '.join(str(error).split())[:120]})"
            raise ModelError(name, reason, "download it again") from error


def _check_length(tokenizer: Any, prompt: str, limit: int) -> None:
    """Refuse a prompt whose end the encoder would not see; its ends are tokens too."""
    with quiet("transformers"):
        tokens = tokenizer(prompt).input_ids
    if len(tokens) > limit:
        rest = tokenizer.decode(tokens[limit - 1 : -1]).strip()
        ends = tokenizer.num_special_tokens_to_add()
        count, read = len(tokens) - ends, limit - ends
        reason = f"--prompt has {count} tokens, of which the model reads {read}"
        raise UsageError(reason, f"shorten it; it would lose {rest!r}")
