"""Tiny random pipelines of every family, from configurations, with nothing downloaded.

A word of the vocabulary is spelled letter by letter in ``merges.txt``; other words fall back to
letters, so that any text can be encoded.
"""

from __future__ import annotations

import json
import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from excise.models.quiet import quietly
from excise.rng import isolated

with quietly():
    import diffusers
    import transformers

WORDS = ("a", "photo", "of", "cat", "dog", "tree", "red", "picture", "in", "style", "the", "x")
LENGTH = 16  # tokens


def clip_tokenizer(words: tuple[str, ...] = WORDS, length: int = LENGTH) -> Any:
    """A CLIP tokenizer whose two special tokens have the largest ids, as in the real one."""
    letters = string.ascii_lowercase + string.digits + ",.!?'*<>-"
    pieces = [*letters, *(letter + "</w>" for letter in letters)]
    merges: list[str] = []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merge, parts = f"{parts[0]} {parts[1]}", [parts[0] + parts[1], *parts[2:]]
            if merge not in merges:
                merges.append(merge)
                pieces.append(parts[0])
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        vocab, merge_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps(vocabulary), encoding="utf-8")
        merge_file.write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        Path(folder, "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": length}), "utf-8"
        )
        return transformers.CLIPTokenizer.from_pretrained(folder)


def t5_tokenizer(words: tuple[str, ...] = WORDS) -> Any:
    """A T5 tokenizer of whole words and letters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -3.0)]
    pieces += [("▁" + word, -1.0) for word in words]
    pieces += [(letter, -5.0) for letter in string.ascii_lowercase + string.digits + ",.!?'*<>-"]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0)


def clip_text(
    tokenizer: Any, width: int = 32, layers: int = 2, projection: int | None = None
) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=projection or width,
        initializer_factor=5.0,  # random states that tell words apart
    )
    if projection is None:
        return transformers.CLIPTextModel(config)
    return transformers.CLIPTextModelWithProjection(config)


def autoencoder(channels: int = 4, shift: float | None = None) -> Any:
    return diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
        shift_factor=shift,
        use_quant_conv=shift is None,
        use_post_quant_conv=shift is None,
    )


def stable_diffusion(prediction: str = "epsilon") -> Any:
    """SD 1.x (``epsilon``) or the shape of SD 2.x (``v_prediction``); pictures of 16x16."""
    with isolated(0):
        tokenizer = clip_tokenizer()
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=32,
            attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )
        return _quiet(
            diffusers.StableDiffusionPipeline(
                vae=autoencoder(),
                text_encoder=clip_text(tokenizer),
                tokenizer=tokenizer,
                unet=unet,
                scheduler=_ddim(prediction),
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )
        )


def sdxl() -> Any:
    """SDXL: two encoders of unequal width, pooled state, micro-conditioning."""
    with isolated(1):
        tokenizer = clip_tokenizer()
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=32 + 24,
            attention_head_dim=(2, 4),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 20,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )
        return _quiet(
            diffusers.StableDiffusionXLPipeline(
                vae=autoencoder(),
                text_encoder=clip_text(tokenizer),
                text_encoder_2=clip_text(tokenizer, width=24, layers=3, projection=20),
                tokenizer=tokenizer,
                tokenizer_2=clip_tokenizer(),
                unet=unet,
                scheduler=_ddim("epsilon"),
                add_watermarker=False,
            )
        )


def sd3() -> Any:
    """SD 3: two CLIP encoders and T5, joint attention, flow matching."""
    with isolated(2):
        tokenizer, t5 = clip_tokenizer(), t5_tokenizer()
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=64,
            pooled_projection_dim=32 + 24,
            pos_embed_max_size=16,
        )
        config = transformers.T5Config(
            vocab_size=len(t5), d_model=64, d_kv=16, d_ff=64, num_layers=2, num_heads=4
        )
        return _quiet(
            diffusers.StableDiffusion3Pipeline(
                vae=autoencoder(shift=0.1),
                text_encoder=clip_text(tokenizer, projection=32),
                text_encoder_2=clip_text(tokenizer, width=24, layers=3, projection=24),
                text_encoder_3=transformers.T5EncoderModel(config),
                tokenizer=tokenizer,
                tokenizer_2=clip_tokenizer(),
                tokenizer_3=t5,
                transformer=transformer,
                scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            )
        )


FAMILIES: dict[str, Callable[[], Any]] = {
    "sd1": stable_diffusion,
    "sd2": lambda: stable_diffusion("v_prediction"),
    "sdxl": sdxl,
    "sd3": sd3,
}
ENCODERS = {
    "sd1": ("text_encoder",),
    "sdxl": ("text_encoder", "text_encoder_2"),
    "sd3": ("text_encoder", "text_encoder_2", "text_encoder_3"),
}


def _ddim(prediction: str) -> Any:
    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if hasattr(component, "eval"):
            component.eval()
    return pipeline
