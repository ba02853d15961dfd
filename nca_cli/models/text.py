"""Prompts as a network reads them: the tokenizer and the text encoder of a pipeline.

transformers brings both and is imported here, inside the functions, for models with prompts alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.models.files import TOKENIZER
from nca_cli.models.quiet import quiet

if TYPE_CHECKING:
    import torch


def check_transformers() -> None:
    """`NcaError` with the command to run, where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        reason = "models that take a prompt need transformers, which is not installed"
        raise NcaError(reason, "pip install 'nca-cli[text]'")


def make_encoder(config: Mapping[str, Any]) -> torch.nn.Module:
    """The text encoder that a configuration describes, without weights. Raises `ValueError`."""
    check_transformers()
    with quiet("transformers"):
        from transformers import CLIPTextConfig, CLIPTextModel

        try:
            settings = CLIPTextConfig.from_dict(_without_code(config))
            settings._attn_implementation = "sdpa"
            return CLIPTextModel(settings)
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


def embed(
    encoder: Any, folder: Path, prompts: Sequence[str], limit: int, name: str
) -> torch.Tensor:
    """Embedded prompts, float32 `(prompts, limit, width)`: the encoder's last hidden state.

    `folder` is the pipeline's, `limit` the number of tokens that the encoder reads. Raises
    `UsageError` for a prompt of more, rather than cut it, and `ModelError` for a bad tokenizer.
    """
    import torch

    tokenizer = _tokenizer(folder / TOKENIZER, name)
    for prompt in prompts:
        _check_length(tokenizer, prompt, limit)
    tokens = tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt")
    if int(tokens.input_ids.max()) >= (known := encoder.embeddings.token_embedding.num_embeddings):
        raise ModelError(name, f"its tokenizer knows more words than its text_encoder ({known})")
    with torch.inference_mode():
        return encoder(tokens.input_ids).last_hidden_state.float()


def _tokenizer(folder: Path, name: str) -> Any:
    with quiet("transformers"):
        from transformers import CLIPTokenizer

        try:
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # tokenizers raises a plain Exception
            reason = f"{folder} holds no tokenizer ({' '.join(str(error).split())[:120]})"
            raise ModelError(name, reason, "fetch it again") from error


def _check_length(tokenizer: Any, prompt: str, limit: int) -> None:
    """Refuse a prompt whose end the encoder would not see; begin and end are tokens too."""
    with quiet("transformers"):
        tokens = tokenizer(prompt).input_ids
    if len(tokens) > limit:
        rest = tokenizer.decode(tokens[limit - 1 : -1]).strip()
        reason = f"--prompt has {len(tokens) - 2} tokens, of which the model reads {limit - 2}"
        raise UsageError(reason, f"shorten it; it would lose {rest!r}")
