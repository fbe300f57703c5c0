"""Stable Diffusion XL: two CLIP encoders side by side, a pooled state, sizes as conditions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from excise.models.encoding import Encoder
from excise.models.stable_diffusion import StableDiffusion, clip_encoder, cross_attention
from excise.models.tokens import Cut, Injection, placeholder
from excise.types import Condition, Defaults, Part, TextProjection


class StableDiffusionXL(StableDiffusion):
    """`StableDiffusionXLPipeline` behind the seam (Podell et al. 2023, arXiv:2307.01952)."""

    family = "sdxl"

    def family_defaults(self) -> Defaults:
        """The pipeline's usual guidance."""
        return Defaults(steps=25, guidance=5.0, scheduler="dpm++")

    def make_encoders(self) -> dict[str, Encoder]:
        """CLIP L and OpenCLIP bigG; the refiner has the second alone."""
        suffixes = [s for s in ("", "_2") if getattr(self.pipeline, f"text_encoder{s}") is not None]
        word = placeholder([getattr(self.pipeline, f"tokenizer{s}") for s in suffixes])
        return {f"text_encoder{s}": clip_encoder(self.pipeline, s, word) for s in suffixes}

    def combine(
        self, cuts: Mapping[str, Cut], injections: Mapping[str, Injection | None]
    ) -> dict[str, Tensor]:
        """The last hidden state but one of each encoder, side by side; the last one's projection.

        ``hidden`` (n, L, d1 + d2), ``pooled`` (n, p), ``time_ids`` (n, 6).
        """
        hidden: list[Tensor] = []
        heads: list[Tensor] = []
        for name, encoder in self.encoding.encoders.items():
            out = encoder.run(cuts[name], injections[name], output_hidden_states=True)
            hidden.append(out.hidden_states[-2].to(self.device, self.dtype))
            heads.append(out[0])
        pooled = heads[-1]  # text_embeds, which the last encoder has
        joined = torch.cat(hidden, dim=-1)
        ids = self._time_ids(self.picture_size).expand(len(joined), -1)
        return {"hidden": joined, "pooled": pooled.to(joined), "time_ids": ids.to(joined)}

    def null(self, n: int = 1) -> Condition | None:
        """Zeros, where the pipeline says so; else the empty prompt."""
        empty = self.encode("").expand(n)
        if not self.pipeline.config.force_zeros_for_empty_prompt:
            return empty
        zeros = {name: torch.zeros_like(empty.tensors[name]) for name in ("hidden", "pooled")}
        return empty.replace(**zeros)

    def sized(self, cond: Condition, size: tuple[int, int]) -> Condition:
        """The size is a condition of its own."""
        ids = self._time_ids(size).expand(len(cond), -1)
        return cond.replace(time_ids=ids.to(cond.tensors["time_ids"]))

    def network(self, x: Tensor, timestep: Tensor, cond: Condition) -> Tensor:
        """The U-Net (n, c, h, w) -> (n, c, h, w)."""
        added = {"text_embeds": cond.tensors["pooled"], "time_ids": cond.tensors["time_ids"]}
        out: Tensor = self.pipeline.unet(
            x,
            timestep,
            encoder_hidden_states=cond.hidden,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return out

    def text_projections(self) -> tuple[TextProjection, ...]:
        """Keys and values of every cross-attention, and the reader of the pooled state."""
        parts, column, length = [], 0, 0
        for name, encoder in self.encoding.encoders.items():
            width, length = int(encoder.module.config.hidden_size), encoder.cutter.length
            parts.append(Part(encoder=name, rows=(0, length), columns=(column, column + width)))
            column += width
        last = parts[-1].encoder
        width = int(self.encoding.encoders[last].module.config.projection_dim)
        pooled = TextProjection(
            weight="unet.add_embedding.linear_1.weight",
            feature="pooled",
            kind="pooled",
            parts=(Part(encoder=last, rows=(0, 1), columns=(0, width)),),
        )
        keys = cross_attention(list(self.parameters("cross_attention_kv")), tuple(parts))
        return (*keys, pooled)

    def _time_ids(self, size: tuple[int, int]) -> Tensor:
        """Original size, crop corner, target size (1, 6): the whole of a picture of this size."""
        return torch.tensor([[*size, 0, 0, *size]], dtype=self.dtype, device=self.device)
