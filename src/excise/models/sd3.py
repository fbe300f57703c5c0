"""Stable Diffusion 3: two CLIP encoders and T5, joint attention, flow matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.models.base import DiffusionModel
from excise.models.encoding import Encoder
from excise.models.process import Flow, Process
from excise.models.sampler import FLOW
from excise.models.stable_diffusion import clip_encoder
from excise.models.tokens import Cut, Cutter, Injection, placeholder
from excise.types import Condition, Defaults, Part, Request, TextProjection

CLIPS = ("text_encoder", "text_encoder_2")
T5_LENGTH = 256  # tokens, as in the pipeline


class StableDiffusion3(DiffusionModel):
    """`StableDiffusion3Pipeline` behind the seam (Esser et al. 2024, arXiv:2403.03206)."""

    family = "sd3"
    denoiser = "transformer"
    schedulers = FLOW

    def family_defaults(self) -> Defaults:
        """What the pipeline draws with."""
        return Defaults(steps=28, guidance=7.0, scheduler="default")

    def make_process(self) -> Process:
        """Rectified flow; the scheduler's shift moves the steps, not what a level means."""
        return Flow(
            prediction="flow", scale=float(self.pipeline.scheduler.config.num_train_timesteps)
        )

    def make_encoders(self) -> dict[str, Encoder]:
        """CLIP L, OpenCLIP bigG, and T5 where the pipeline has it."""
        suffixes = ["", "_2"] + ["_3"] * (self.pipeline.text_encoder_3 is not None)
        word = placeholder([getattr(self.pipeline, f"tokenizer{s}") for s in suffixes])
        encoders = {name: clip_encoder(self.pipeline, name[12:], word) for name in CLIPS}
        if self.pipeline.text_encoder_3 is not None:
            cutter = Cutter(self.pipeline.tokenizer_3, T5_LENGTH, word)
            encoders["text_encoder_3"] = Encoder(self.pipeline.text_encoder_3, cutter)
        return encoders

    def combine(
        self, cuts: Mapping[str, Cut], injections: Mapping[str, Injection | None]
    ) -> dict[str, Tensor]:
        """CLIP's states side by side and padded to T5's width, then T5's below them.

        ``hidden`` (n, L + 256, d), ``pooled`` (n, p1 + p2).
        """
        hidden, pooled = [], []
        for name in CLIPS:
            encoder = self.encoding.encoders[name]
            out = encoder.run(cuts[name], injections[name], output_hidden_states=True)
            hidden.append(out.hidden_states[-2].to(self.device, self.dtype))
            pooled.append(out[0].to(self.device, self.dtype))
        clip = torch.cat(hidden, dim=-1)
        width = int(self.pipeline.transformer.config.joint_attention_dim)
        t5 = clip.new_zeros((len(clip), T5_LENGTH, width))
        if "text_encoder_3" in cuts:
            encoder = self.encoding.encoders["text_encoder_3"]
            t5 = encoder.run(cuts["text_encoder_3"], injections["text_encoder_3"])[0].to(clip)
        padded = F.pad(clip, (0, width - clip.shape[-1]))  # (n, L, d1 + d2) -> (n, L, d)
        return {"hidden": torch.cat([padded, t5], dim=1), "pooled": torch.cat(pooled, dim=-1)}

    def null(self, n: int = 1) -> Condition | None:
        """The empty prompt."""
        return self.encode("").expand(n)

    def network(self, x: Tensor, timestep: Tensor, cond: Condition) -> Tensor:
        """The transformer (n, c, h, w) -> (n, c, h, w)."""
        out: Tensor = self.pipeline.transformer(
            hidden_states=x,
            timestep=timestep,
            encoder_hidden_states=cond.hidden,
            pooled_projections=cond.tensors["pooled"],
            return_dict=False,
        )[0]
        return out

    def schedule_options(self, request: Request, fresh: Any) -> dict[str, float]:
        """The shift that depends on the size of the picture, where the scheduler wants one."""
        if not fresh.config.get("use_dynamic_shifting", False):
            return {}
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import (
            calculate_shift,
        )

        _, height, width = self.latents_for(request.size)
        patch = int(self.pipeline.transformer.config.patch_size)
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        own = {name: fresh.config[name] for name in names if name in fresh.config}
        own = {n.replace("image_seq_len", "seq_len"): v for n, v in own.items()}
        return {"mu": float(calculate_shift((height // patch) * (width // patch), **own))}

    def text_projections(self) -> tuple[TextProjection, ...]:
        """The embedder of the context and that of the pooled state, which read text themselves.

        Then, with feature ``context``, each block's own keys and values: they read what the blocks
        before them made of it, which is no tensor of the condition.
        """
        parts: list[Part] = []
        pooled: list[Part] = []
        column = pooled_column = 0
        for name, encoder in self.encoding.encoders.items():
            length, config = encoder.cutter.length, encoder.module.config
            if name not in CLIPS:
                start = parts[-1].rows[1]
                width = int(config.d_model)
                parts.append(Part(encoder=name, rows=(start, start + length), columns=(0, width)))
                continue
            stop = column + int(config.hidden_size)
            parts.append(Part(encoder=name, rows=(0, length), columns=(column, stop)))
            column, stop = stop, pooled_column + int(config.projection_dim)
            pooled.append(Part(encoder=name, rows=(0, 1), columns=(pooled_column, stop)))
            pooled_column = stop
        own = (
            TextProjection(
                weight="transformer.context_embedder.weight",
                feature="hidden",
                kind="context",
                parts=tuple(parts),
            ),
            TextProjection(
                weight="transformer.time_text_embed.text_embedder.linear_1.weight",
                feature="pooled",
                kind="pooled",
                parts=tuple(pooled),
            ),
        )
        inner = tuple(
            TextProjection(
                weight=name,
                feature="context",
                kind="key" if "add_k_proj" in name else "value",
                parts=(),
            )
            for name in self.parameters("cross_attention_kv")
            if name.endswith(".weight")
        )
        return own + inner
