"""Tiny but real diffusers pipelines, saved in the layouts that the hub has.

The last layer is scaled down: a randomly initialised network is chaotic over a chain, so that even
diffusers differs from itself when its input changes in the last digit.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

CHANNELS = (8, 16)
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
STEM = "diffusion_pytorch_model"


def tiny_unet(size=16, channels=3, learned_variance=False, seed=0, **overrides):
    """A UNet2DModel of a few thousand parameters with attention, tame over chains."""
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(seed)
    settings = {
        "sample_size": size,
        "in_channels": channels,
        "out_channels": channels * (2 if learned_variance else 1),
        "layers_per_block": 1,
        "block_out_channels": CHANNELS,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    }
    unet = UNet2DModel(**(settings | overrides)).eval()
    with torch.no_grad():
        unet.conv_out.weight.mul_(0.1)
        unet.conv_out.bias.zero_()
    return unet


def tiny_autoencoder(kind="vq", size=32, latent_channels=3, seed=0):
    """A VQModel or AutoencoderKL that halves the side of an image."""
    import torch
    from diffusers import AutoencoderKL, VQModel

    torch.manual_seed(seed + 1)
    settings = {
        "sample_size": size,
        "block_out_channels": CHANNELS,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": latent_channels,
        "norm_num_groups": 4,
    }
    if kind == "kl":
        return AutoencoderKL(**settings).eval()
    model = VQModel(num_vq_embeddings=64, **settings).eval()
    with torch.no_grad():
        model.quantize.embedding.weight.normal_()
    return model


def tiny_pixel(
    folder, layout="nested", weights="safetensors", size=16, prediction_type="epsilon",
    learned_variance=False, seed=0, old_attention_keys=False, scheduler="DDPMScheduler",
    channels=3, classes=None, **overrides,
):  # fmt: skip
    """Save a pixel pipeline; `overrides` go into the scheduler's configuration. The folder."""
    import diffusers

    folder = Path(folder)
    nested = layout == "nested"
    unet = tiny_unet(size, channels, learned_variance, seed, num_class_embeds=classes)
    save_part(unet, folder / "unet" if nested else folder, weights, old_attention_keys)
    config = getattr(diffusers, scheduler)(prediction_type=prediction_type, **overrides)
    config.save_pretrained(folder / "scheduler" if nested else folder)
    save_index(folder, scheduler.replace("Scheduler", "Pipeline"), {
        "scheduler": ["diffusers", scheduler], "unet": ["diffusers", "UNet2DModel"],
    })  # fmt: skip
    return folder


def tiny_latent(
    folder, autoencoder="vq", weights="safetensors", scaling_factor=None, size=16, seed=0,
    part="vqvae", old_attention_keys=False, scheduler="DDIMScheduler", **overrides,
):  # fmt: skip
    """Save a latent pipeline whose images are twice as wide as its latents. The folder.

    `scaling_factor=None` removes the key from the raw configuration, as older repositories have it.
    """
    import diffusers

    folder = Path(folder)
    save_part(tiny_unet(size, seed=seed), folder / "unet", weights, old_attention_keys)
    network = tiny_autoencoder(autoencoder, 2 * size, seed=seed)
    save_part(network, folder / part, weights, old_attention_keys)
    edit_json(folder / part / "config.json", scaling_factor=scaling_factor)
    settings = {"clip_sample": False, "beta_start": 0.0015, "beta_end": 0.0195,
                "beta_schedule": "scaled_linear"}  # fmt: skip
    config = getattr(diffusers, scheduler)(**(settings | overrides))
    config.save_pretrained(folder / "scheduler")
    save_index(folder, "LDMPipeline", {
        "scheduler": ["diffusers", scheduler], "unet": ["diffusers", "UNet2DModel"],
        part: ["diffusers", type(network).__name__],
    })  # fmt: skip
    return folder


def tiny_exploding(folder, size=16, seed=0, **overrides):
    """The layout of google/ncsnpp-ffhq-256: Fourier embedding, skip blocks, a score of [0, 1]."""
    import torch
    from diffusers import ScoreSdeVeScheduler

    folder = Path(folder)
    unet = tiny_unet(
        size, seed=seed, center_input_sample=True, time_embedding_type="fourier",
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"), block_out_channels=(32, 32),
        mid_block_scale_factor=2**0.5, norm_num_groups=None, norm_eps=1e-6,
    )  # fmt: skip
    with torch.no_grad():
        unet.time_proj.weight.mul_(0.02)  # the published scale sees rounding errors of σ
    save_part(unet, folder / "unet")
    settings = {"num_train_timesteps": 40, "sigma_min": 0.01, "sigma_max": 50.0}
    ScoreSdeVeScheduler(**(settings | overrides)).save_pretrained(folder / "scheduler")
    save_index(folder, "ScoreSdeVePipeline", {
        "scheduler": ["diffusers", "ScoreSdeVeScheduler"], "unet": ["diffusers", "UNet2DModel"],
    })  # fmt: skip
    return folder


def tiny_flow(folder, size=16, seed=0, shift=3.0, **overrides):
    """A UNet that predicts the velocity of a straight flow, beside its scheduler."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    folder = Path(folder)
    save_part(tiny_unet(size, seed=seed), folder / "unet")
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift, **overrides)
    scheduler.save_pretrained(folder / "scheduler")
    save_index(folder, "DDPMPipeline", {
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    })  # fmt: skip
    return folder


def tiny_dit(folder, size=8, seed=0, scheduler="DDIMScheduler", **overrides):
    """The layout of facebook/DiT-XL-2-256: a class-conditional transformer on latents of a VAE."""
    import diffusers
    import torch
    from diffusers import DiTTransformer2DModel

    folder = Path(folder)
    torch.manual_seed(seed)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
        sample_size=size, num_embeds_ada_norm=1000,
    ).eval()  # fmt: skip
    with torch.no_grad():
        transformer.proj_out_2.weight.mul_(0.3)
    save_part(transformer, folder / "transformer")
    edit_json(folder / "transformer/config.json", _class_name="Transformer2DModel")
    save_part(tiny_autoencoder("kl", 2 * size, latent_channels=4, seed=seed), folder / "vae")
    settings = {"clip_sample": False} if scheduler == "DDIMScheduler" else {}
    config = getattr(diffusers, scheduler)(**(settings | overrides))
    config.save_pretrained(folder / "scheduler")
    save_index(folder, "DiTPipeline", {
        "scheduler": ["diffusers", scheduler], "vae": ["diffusers", "AutoencoderKL"],
        "transformer": ["diffusers", "Transformer2DModel"],
    })  # fmt: skip
    return folder


STABLE_DIFFUSION = {
    "PNDMScheduler": {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1},
    "DDIMScheduler": {"set_alpha_to_one": False, "steps_offset": 1},
    "EulerDiscreteScheduler": {"timestep_spacing": "leading", "steps_offset": 1},
}
"""Scheduler settings that repositories of Stable Diffusion have beside their betas."""


def tiny_stable_diffusion(
    folder, scheduler="PNDMScheduler", prediction_type="epsilon", weights="safetensors", size=8,
    seed=0,
):  # fmt: skip
    """The layout of stable-diffusion-v1-5 on the hub, whose safety checker was never downloaded."""
    import diffusers
    import torch

    folder = Path(folder)
    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel(
        sample_size=size, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=16,
        attention_head_dim=2,
    ).eval()  # fmt: skip
    with torch.no_grad():
        unet.conv_out.weight.mul_(0.1)
        unet.conv_out.bias.zero_()
    save_part(unet, folder / "unet", weights)
    save_part(tiny_autoencoder("kl", 2 * size, 4, seed), folder / "vae", weights)
    edit_json(folder / "vae/config.json", scaling_factor=None)
    save_text(folder, weights)
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "prediction_type": prediction_type, **STABLE_DIFFUSION[scheduler]}  # fmt: skip
    getattr(diffusers, scheduler)(**settings).save_pretrained(folder / "scheduler")
    edit_json(folder / "scheduler/scheduler_config.json", clip_sample=False)
    save_index(folder, "StableDiffusionPipeline", {
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", scheduler], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "image_encoder": [None, None],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    })  # fmt: skip
    return folder


def tiny_stable_diffusion_xl(
    folder, scheduler="EulerDiscreteScheduler", size=8, seed=0, zeros=True
):
    """The layout of stable-diffusion-xl-base-1.0 on the hub; every parameter is random."""
    import diffusers
    import torch

    folder = Path(folder)
    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel(
        sample_size=size, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=40,
        attention_head_dim=(2, 4), transformer_layers_per_block=(1, 2),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=12 + 6 * 8,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for weights in unet.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
        unet.conv_out.weight.mul_(0.05)
        unet.conv_out.bias.mul_(0.1)
    save_part(unet, folder / "unet")
    save_part(tiny_autoencoder("kl", 2 * size, 4, seed), folder / "vae")
    edit_json(folder / "vae/config.json", scaling_factor=0.13025)
    save_text(folder)
    save_projected_text(folder, "_2", 24, 12, seed + 1)
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                **STABLE_DIFFUSION[scheduler]}  # fmt: skip
    getattr(diffusers, scheduler)(**settings).save_pretrained(folder / "scheduler")
    save_index(folder, "StableDiffusionXLPipeline", {
        "force_zeros_for_empty_prompt": zeros, "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    })  # fmt: skip
    return folder


def tiny_stable_diffusion_3(folder, t5=True, size=8, seed=0, shift=3.0):
    """The layout of stable-diffusion-3.5-medium on the hub, or that without its T5."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    folder = Path(folder)
    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=size, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
        attention_head_dim=8, num_attention_heads=2, joint_attention_dim=48,
        caption_projection_dim=16, pooled_projection_dim=20, pos_embed_max_size=8,
        dual_attention_layers=(0,), qk_norm="rms_norm",
    ).eval()  # fmt: skip
    with torch.no_grad():
        for weights in transformer.parameters():
            weights.mul_(2)  # or else no prompt would be heard
        transformer.proj_out.weight.mul_(0.05)
        transformer.proj_out.bias.zero_()
    save_part(transformer, folder / "transformer")
    autoencoder = tiny_autoencoder("kl", 2 * size, 16, seed)
    save_part(autoencoder, folder / "vae")
    edit_json(folder / "vae/config.json", scaling_factor=1.5305, shift_factor=0.0609)
    for number, (part, width, projection) in enumerate((("", 16, 8), ("_2", 24, 12))):
        save_projected_text(folder, part, width, projection, seed + number)
    if t5:
        save_t5(folder, width=48, seed=seed)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.save_pretrained(folder / "scheduler")
    clip = ["transformers", "CLIPTextModelWithProjection"]
    save_index(folder, "StableDiffusion3Pipeline", {
        "feature_extractor": [None, None], "image_encoder": [None, None],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": clip, "text_encoder_2": clip,
        "text_encoder_3": ["transformers", "T5EncoderModel"] if t5 else [None, None],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "tokenizer_3": ["transformers", "T5TokenizerFast"] if t5 else [None, None],
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    })  # fmt: skip
    return folder


def save_projected_text(folder, part, width, projection, seed):
    """A CLIP text encoder with a projection, and its tokenizer, as `text_encoder{part}`."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    vocabulary = _vocabulary()
    torch.manual_seed(seed)
    encoder = CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=width, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=len(vocabulary) - 2, eos_token_id=len(vocabulary) - 1,
        projection_dim=projection, architectures=["CLIPTextModelWithProjection"],
    ))  # fmt: skip
    encoder.config.save_pretrained(folder / f"text_encoder{part}")
    tensors = {key: 3 * value.contiguous() for key, value in encoder.state_dict().items()}
    save_file(tensors, folder / f"text_encoder{part}/model.safetensors")
    save_tokenizer(folder / f"tokenizer{part}", vocabulary, pad="!" if part else None)


def save_t5(folder, width, seed=0):
    """A T5 encoder in two shards, its table of words once, and a tokenizer of letters."""
    import torch
    from safetensors.torch import save_file
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    letters = [(chr(code), -3.0) for code in range(33, 127)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]
    torch.manual_seed(seed)
    encoder = T5EncoderModel(T5Config(
        vocab_size=len(vocabulary), d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", architectures=["T5EncoderModel"], tie_word_embeddings=False,
    ))  # fmt: skip
    part = folder / "text_encoder_3"
    encoder.config.save_pretrained(part)
    tensors = {key: value.contiguous() for key, value in encoder.state_dict().items()
               if key != "encoder.embed_tokens.weight"}  # fmt: skip
    where = {}
    for number in (0, 1):
        file = f"model-{number + 1:05}-of-00002.safetensors"
        shard = dict(list(tensors.items())[number::2])
        save_file(shard, part / file, {"format": "pt"})
        where |= dict.fromkeys(shard, file)
    (part / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 0}, "weight_map": where})
    )
    T5TokenizerFast(vocab=vocabulary, extra_ids=0).save_pretrained(folder / "tokenizer_3")


def save_text(folder, weights="safetensors"):
    """A text encoder of two layers, its tensors named as on the hub, and a tokenizer of letters."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary = _vocabulary()
    torch.manual_seed(0)
    encoder = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=len(vocabulary) - 2, eos_token_id=len(vocabulary) - 1,
        architectures=["CLIPTextModel"],
    ))  # fmt: skip
    encoder.config.save_pretrained(folder / "text_encoder")
    tensors = {f"text_model.{key.removeprefix('text_model.')}": 3 * value.contiguous()
               for key, value in encoder.state_dict().items()}  # fmt: skip
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save = save_file if weights == "safetensors" else torch.save
    name = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}[weights]
    save(tensors, folder / "text_encoder" / name)
    save_tokenizer(folder / "tokenizer", vocabulary)


def _vocabulary():
    """Letters, within a word and at its end, the word "cat", and the two ends of a text."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "ca", "cat</w>"]
    return [*words, "<|startoftext|>", "<|endoftext|>"]


def save_tokenizer(folder, vocabulary, pad=None):
    """The four files of a CLIP tokenizer on the hub; `pad` fills up short prompts."""
    folder.mkdir(parents=True)
    ids = {word: number for number, word in enumerate(vocabulary)}
    begin, end = vocabulary[-2:]
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    special = {"bos_token": begin, "eos_token": end, "pad_token": pad or end, "unk_token": end}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
         "do_lower_case": True, "add_prefix_space": False}
    ))  # fmt: skip


def like_celebahq(folder, seed=0, size=16):
    """The layout of google/ddpm-ema-celebahq-256: flat, a pickle, attention names of 2022."""
    return tiny_pixel(
        folder, layout="flat", weights="bin", size=size, seed=seed, old_attention_keys=True
    )


def like_ldm_celebahq(folder, seed=0, size=16):
    """The layout of CompVis/ldm-celebahq-256: nested, pickles, no `scaling_factor`."""
    return tiny_latent(folder, weights="bin", seed=seed, size=size, old_attention_keys=True)


def save_part(network, folder, weights="safetensors", old_attention_keys=False):
    """Write a network's configuration and weights as diffusers names them."""
    import torch
    from safetensors.torch import save_file

    network.save_config(folder)
    tensors = {_old_name(key) if old_attention_keys else key: value.contiguous()
               for key, value in network.state_dict().items()}  # fmt: skip
    (save_file if weights == "safetensors" else torch.save)(tensors, folder / f"{STEM}.{weights}")


def _old_name(key):
    """`…attentions.0.to_q.weight` → `…attentions.0.query.weight`."""
    for new, old in OLD_ATTENTION.items():
        key = key.replace(f".{new}.", f".{old}.")
    return key


def save_index(folder, pipeline, parts):
    """Write `model_index.json`."""
    index = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def edit_json(path, **changes):
    """Set keys of a JSON file; `None` removes a key."""
    path = Path(path)
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not None}))


def age(path, seconds=10):
    """Make a file look as if it was written a while ago."""
    stamp = time.time() - seconds
    os.utime(path, (stamp, stamp))
