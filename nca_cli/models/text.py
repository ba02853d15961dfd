"""Prompts as a network reads them: the tokenizers and the text encoders of a pipeline.

transformers brings both and is imported here, inside the functions, for models with prompts alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models.pipeline import CLIP, MMDIT, PROJECTED, T5, T5_TOKENS, Pipeline, Reader
from nca_cli.models.quiet import quiet

if TYPE_CHECKING:
    import torch

    from nca_cli.models.denoiser import Condition

CONFIGS = {CLIP: "CLIPTextConfig", PROJECTED: "CLIPTextConfig", T5: "T5Config"}
TOKENIZERS = {CLIP: "CLIPTokenizer", PROJECTED: "CLIPTokenizer", T5: "T5TokenizerFast"}


class Embedded(NamedTuple):
    """Prompts as one text encoder gives them, float32."""

    tokens: torch.Tensor
    """`(prompts, tokens, width)`"""
    pooled: torch.Tensor | None = None
    """Each prompt as a whole, `(prompts, width)`, where the text encoder has a projection."""


def check_transformers() -> None:
    """`NcaError` with the command to run, where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        reason = "models that take a prompt need transformers, which is not installed"
        raise NcaError(reason, "pip install 'nca-cli[text]'")


def make_encoder(kind: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The text encoder of class `kind` that a configuration describes, without weights.

    Raises `ValueError`.
    """
    check_transformers()
    with quiet("transformers"):
        import transformers

        try:
            described = getattr(transformers, CONFIGS[kind]).from_dict(_without_code(config))
            return getattr(transformers, kind)(described)
        except Exception as error:  # its configurations have checks, and errors, of their own
            raise ValueError(str(error)) from error


def _without_code(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without the settings of how to run it: one of them fetches kernels, native code, of the hub.

    What describes the network is all that a file has a say in.
    """
    return {
        key: value for key, value in config.items()
        if not key.startswith("_") and "attn_implementation" not in key
    }  # fmt: skip


def embed(encoder: Any, reader: Reader, root: Path, prompts: Sequence[str], name: str) -> Embedded:
    """Prompts through one text encoder of the pipeline in `root`.

    Raises `UsageError` for a prompt of more tokens than it reads, rather than cut it, and
    `ModelError` for a bad tokenizer.
    """
    import torch

    tokenizer, limit = _tokenizer(reader, root, name), reader.limit
    for prompt in prompts:
        _check_length(tokenizer, prompt, limit)
    tokens = tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt")
    if int(tokens.input_ids.max()) >= (known := encoder.get_input_embeddings().num_embeddings):
        folder, part = reader.tokenizer_folder, reader.folder
        raise ModelError(name, f"its {folder} knows more words than its {part} ({known})")
    with torch.inference_mode():
        if reader.kind != PROJECTED:
            return Embedded(encoder(tokens.input_ids).last_hidden_state.float())
        output = encoder(tokens.input_ids, output_hidden_states=True)
        return Embedded(output.hidden_states[-2].float(), output.text_embeds.float())


def joined(embedded: Sequence[Embedded], pipeline: Pipeline) -> Condition:
    """What the network takes of what its text encoders give.

    An `MMDIT` (Esser et al., 2403.03206, section 5.1) takes the tokens of its two CLIPs side by
    side, filled with zeros to the width of T5's, which follow; those are zeros where T5 is absent.
    """
    import torch

    if pipeline.network.kind != MMDIT:
        return {"encoder_hidden_states": embedded[0].tokens}
    pooled = [each.pooled for each in embedded if each.pooled is not None]
    clip = torch.cat([each.tokens for each in embedded if each.pooled is not None], -1)
    clip = torch.nn.functional.pad(clip, (0, pipeline.text_width - clip.shape[-1]))
    t5 = [each.tokens for each in embedded if each.pooled is None]
    t5 = t5 or [clip.new_zeros(len(clip), T5_TOKENS, pipeline.text_width)]
    return {
        "encoder_hidden_states": torch.cat([clip, *t5], 1),
        "pooled_projections": torch.cat(pooled, -1),
    }


def _tokenizer(reader: Reader, root: Path, name: str) -> Any:
    folder = root / reader.tokenizer_folder
    with quiet("transformers"):
        import transformers

        try:
            kind = getattr(transformers, TOKENIZERS[reader.kind])
            return kind.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # tokenizers raises a plain Exception
            reason = f"{folder} holds no tokenizer ({' '.join(str(error).split())[:120]})"
            raise ModelError(name, reason, "fetch it again") from error


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
