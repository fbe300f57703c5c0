"""Stable Diffusion 1 and 2: one CLIP text encoder, a U-Net, epsilon or v prediction."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from excise.errors import Unsupported
from excise.models.base import DiffusionModel
from excise.models.encoding import Encoder
from excise.models.process import Discrete, Process
from excise.models.sampler import DISCRETE, fresh, noise_of
from excise.models.tokens import Cut, Cutter, Injection, placeholder
from excise.types import Condition, Defaults, Part, TextProjection


class StableDiffusion(DiffusionModel):
    """`StableDiffusionPipeline` behind the seam."""

    family = "stable-diffusion"
    denoiser = "unet"
    schedulers = DISCRETE

    def family_defaults(self) -> Defaults:
        """Twenty steps of DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095)."""
        return Defaults(steps=20, guidance=7.5, scheduler="dpm++")

    def make_process(self) -> Process:
        """The noise schedule of the pipeline's scheduler."""
        return discrete(self.pipeline.scheduler)

    def make_encoders(self) -> dict[str, Encoder]:
        """The one CLIP text model."""
        word = placeholder([self.pipeline.tokenizer])
        return {"text_encoder": clip_encoder(self.pipeline, "", word)}

    def combine(
        self, cuts: Mapping[str, Cut], injections: Mapping[str, Injection | None]
    ) -> dict[str, Tensor]:
        """``hidden`` (n, L, d): the last hidden state, after the final norm."""
        encoder, cut = self.encoding.encoders["text_encoder"], cuts["text_encoder"]
        options: dict[str, Any] = {}
        if getattr(encoder.module.config, "use_attention_mask", False):
            options["attention_mask"] = cut.tokens.mask.to(self.device, torch.int64)
        out = encoder.run(cut, injections["text_encoder"], **options)
        return {"hidden": out.last_hidden_state}

    def null(self, n: int = 1) -> Condition | None:
        """The empty prompt."""
        return self.encode("").expand(n)

    def network(self, x: Tensor, timestep: Tensor, cond: Condition) -> Tensor:
        """The U-Net (n, c, h, w) -> (n, c, h, w)."""
        out: Tensor = self.pipeline.unet(
            x, timestep, encoder_hidden_states=cond.hidden, return_dict=False
        )[0]
        return out

    def text_projections(self) -> tuple[TextProjection, ...]:
        """Keys and values of every cross-attention."""
        length = self.encoding.encoders["text_encoder"].cutter.length
        width = int(self.pipeline.unet.config.cross_attention_dim)
        parts = (Part(encoder="text_encoder", rows=(0, length), columns=(0, width)),)
        return cross_attention(list(self.parameters("cross_attention_kv")), parts)


def discrete(scheduler: Any) -> Discrete:
    """The discrete process of a pipeline's scheduler, whichever class that is."""
    ddpm = fresh(import_module("diffusers").DDPMScheduler, noise_of(scheduler.config))
    prediction = ddpm.config.prediction_type
    if prediction not in ("epsilon", "v_prediction", "sample"):
        raise Unsupported(
            "expected a scheduler with epsilon, v_prediction or sample prediction, got "
            f"{prediction!r}; set prediction_type in scheduler/scheduler_config.json"
        )
    return Discrete(prediction=prediction, abar=ddpm.alphas_cumprod.double())


def clip_encoder(pipeline: Any, suffix: str, word: str) -> Encoder:
    """A pipeline's ``text_encoder`` and ``tokenizer`` with a suffix such as ``_2``."""
    tokenizer = getattr(pipeline, f"tokenizer{suffix}")
    module = getattr(pipeline, f"text_encoder{suffix}")
    length = min(int(tokenizer.model_max_length), int(module.config.max_position_embeddings))
    return Encoder(module, Cutter(tokenizer, length, word))


def cross_attention(names: list[str], parts: tuple[Part, ...]) -> tuple[TextProjection, ...]:
    """The keys and values among names, as readers of ``hidden``."""
    return tuple(
        TextProjection(
            weight=name,
            feature="hidden",
            kind="key" if ".to_k." in name else "value",
            parts=parts,
        )
        for name in names
        if name.endswith(".weight")
    )
