"""The text tower: a small CLIP, trained contrastively on renders, then frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from excise.emoji.captions import caption
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.pool import draw_pool
from excise.emoji.tokenizer import LENGTH
from excise.emoji.training import Log, Schedule, device, fast_math, fit
from excise.emoji.world import World

WIDTH = 128
SCHEDULE = Schedule(steps=1500, lr=1.2e-3, weight_decay=0.02, ema=0.995, betas=(0.9, 0.98))
BATCH = 256
PICTURES = 20_000


def make(vocabulary: int) -> CLIPModel:
    """Untrained towers; initialised from the global generator, so seed that around the call."""
    text = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
    )
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH
    )
    return CLIPModel(config)


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids, (n, 32), padded with the end token as Stable Diffusion's pipelines do."""
    ids: Tensor = tokenizer(
        texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    ).input_ids
    return ids


def blurred(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures (n, 3, 64, 64), half of them a little blurred and noisy, as generated ones are."""
    strength = torch.from_numpy(rng.uniform(0, 1.0, (len(pictures), 1, 1, 1)).astype(np.float32))
    strength = strength * torch.from_numpy(rng.random((len(pictures), 1, 1, 1)) < 0.5)
    strength = strength.to(pictures.device)
    soft = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    noise = torch.from_numpy(rng.standard_normal(tuple(pictures.shape), np.float32))
    return torch.lerp(pictures, soft, strength) + 0.06 * strength * noise.to(pictures.device)


def train(tokenizer: CLIPTokenizer, state: Path, *, seed: int, log: Log) -> CLIPModel:
    """Train both towers on renders of objects and decoys with freshly drawn captions."""
    torch.manual_seed(seed)
    where = device()
    model = make(len(tokenizer)).to(where)
    world = World(atlas=Atlas(), labels=(*OBJECTS, *DECOYS))
    pictures, scenes = draw_pool(world, seed + 1, PICTURES)
    log(f"{PICTURES} pictures rendered")

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = np.sort(rng.choice(PICTURES, BATCH, replace=False))
        ids = tokenize(tokenizer, [caption(scenes[int(i)], rng) for i in rows]).to(where)
        x = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        with fast_math():
            out = model(input_ids=ids, pixel_values=blurred(x.to(where), rng), return_loss=True)
        value: Tensor = out.loss.float()
        return value

    fit(model, loss, SCHEDULE, seed=seed, state=state, log=log)
    return model
