"""What every family of text-to-image models shares; `excise.types.TextToImage` has the words."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from excise.errors import UserError
from excise.models import drawing, hooking, saving, vae
from excise.models.attention import recorded
from excise.models.costs import Counter
from excise.models.editable import Editable
from excise.models.encoding import Encoder, Encoding
from excise.models.process import Process, levels_of
from excise.models.sampler import Schedule, scheduler
from excise.models.tokens import Cut, Injection, lexicon
from excise.types import (
    Concept,
    Condition,
    Costs,
    Defaults,
    Level,
    Lexicon,
    Prompt,
    Request,
    Samples,
    Selector,
    State,
    Step,
    TextProjection,
)


class DiffusionModel(Editable):
    """A pipeline of diffusers behind the seam. It never changes it for good.

    autocast: run denoiser and decoder in bfloat16 where PyTorch thinks it safe.
    """

    family: ClassVar[str]
    schedulers: ClassVar[Mapping[str, str]]

    def __init__(
        self, pipeline: Any, name: str, *, defaults: Defaults | None = None, autocast: bool = False
    ) -> None:
        super().__init__(pipeline)
        self.name = name
        self.defaults = defaults or self.family_defaults()
        self.autocast = autocast
        self.known: tuple[Concept, ...] = ()
        self.weighting = "uniform"
        self.notes: Mapping[str, Any] = {}  # what the model's folder says beside all of this
        self.process: Process = self.make_process()
        self.encoding = Encoding(self.make_encoders(), self.combine)
        self.counter = Counter(self.device)
        self._lexicon: Lexicon | None = None  # listing it takes a second or two

    # What a family says of itself.

    @abstractmethod
    def family_defaults(self) -> Defaults:
        """Steps, guidance and scheduler where a request names none."""

    @abstractmethod
    def make_process(self) -> Process:
        """Which noising process the network was trained on."""

    @abstractmethod
    def make_encoders(self) -> dict[str, Encoder]:
        """The text encoders that the pipeline has, in order."""

    @abstractmethod
    def combine(
        self, cuts: Mapping[str, Cut], injections: Mapping[str, Injection | None]
    ) -> dict[str, Tensor]:
        """Run the encoders on a batch and name what comes out."""

    @abstractmethod
    def null(self, n: int = 1) -> Condition | None:
        """The family's own unconditional."""

    @abstractmethod
    def network(self, x: Tensor, timestep: Tensor, cond: Condition) -> Tensor:
        """The denoiser as the pipeline calls it; ``timestep`` is float32 (n,)."""

    @abstractmethod
    def text_projections(self) -> tuple[TextProjection, ...]:
        """The weights of the denoiser that read text."""

    def sized(self, cond: Condition, size: tuple[int, int]) -> Condition:
        """The condition for pictures of another size."""
        return cond

    # The model as it stands.

    @property
    def precision(self) -> str:
        """What the denoiser is evaluated in: its type, or ``bfloat16 over float32`` weights."""
        kept = str(self.dtype).removeprefix("torch.")
        return f"bfloat16 over {kept}" if self.autocast else kept

    @property
    def encoders(self) -> dict[str, int]:
        """The text encoders in order, each with the width of its token embedding."""
        return {name: encoder.width for name, encoder in self.encoding.encoders.items()}

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the latents of a picture of the model's own size."""
        return self.latents_for(None)

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        size = int(getattr(self.pipeline, self.denoiser).config.sample_size) * self.vae_factor
        return size, size

    @property
    def vae_factor(self) -> int:
        """Pixels a side of a latent."""
        return int(self.pipeline.vae_scale_factor)

    def latents_for(self, size: tuple[int, int] | None) -> tuple[int, int, int]:
        """(c, h, w) of the latents of a picture of a size (height, width)."""
        height, width = self.picture_size if size is None else size
        if height % self.vae_factor or width % self.vae_factor:
            raise UserError(f"expected a size in multiples of {self.vae_factor}, got {size}")
        channels = int(self.pipeline.vae.config.latent_channels)
        return channels, height // self.vae_factor, width // self.vae_factor

    @property
    def levels(self) -> int | None:
        """Number of noise levels; None if continuous."""
        return self.process.levels

    @property
    def costs(self) -> Costs:
        """What was spent so far."""
        return self.counter.read()

    def copied(self) -> Self:
        """The same model once more, with weights of its own, for whoever needs two at a time.

        Raises:
            UserError: an edit is applied to it.
        """
        if self._edits:
            raise UserError(
                "expected a model without an edit to copy; copy it before one is applied"
            )
        found = type(self)(
            copy.deepcopy(self.pipeline), self.name, defaults=self.defaults, autocast=self.autocast
        )
        found.known, found.weighting, found.notes = self.known, self.weighting, self.notes
        return found

    def drawn_as(self, defaults: Defaults) -> Self:
        """The same model, weights and applied edits shared, with other steps, guidance, scheduler.

        For as long as one of the two is in use, so that they are not told of different edits.
        """
        found = copy.copy(self)
        found.defaults = defaults
        return found

    # Text.

    def encode(self, prompts: str | Prompt | Sequence[str | Prompt]) -> Condition:
        """One row a prompt. Differentiable in the prompts' soft vectors."""
        rows = Prompt.of(prompts)
        with self._evaluation.of(prompts=rows):
            return self.encoding.encode(rows, self._edits)

    def encode_soft(self, text: str, soft: Mapping[str, Mapping[str, Tensor]]) -> Condition:
        """K rows of one text at once, its soft vectors given as (K, k, d) by word and encoder."""
        with self._evaluation.of(prompts=(Prompt(text),)):
            return self.encoding.encode_soft(text, soft)

    def lexicon(self) -> Lexicon:
        """The words that every text encoder reads as one token, as the first one lists them."""
        if self._lexicon is None:
            encoders = self.encoding.encoders
            self._lexicon = lexicon({name: one.cutter for name, one in encoders.items()})
        return self._lexicon

    def conditions(
        self,
        prompts: Sequence[str | Prompt] = (),
        negative: Sequence[str | Prompt] | None = None,
        condition: Condition | None = None,
        *,
        size: tuple[int, int] | None = None,
    ) -> tuple[Condition, Condition | None]:
        """What ``denoise`` is given: encoded, then mapped by the applied hooks."""
        rows = Prompt.of(tuple(prompts))
        cond = self.encode(rows) if condition is None else condition.to(self.device)
        null = self.null() if negative is None else self.encode(tuple(negative))
        if null is not None and len(cond) == 1 < len(null):
            cond = cond.expand(len(null))
        null = None if null is None else null.expand(len(cond))
        if size is not None:
            cond = self.sized(cond, size)
            null = None if null is None else self.sized(null, size)
        return hooking.conditioned(self, self._hooks, rows, cond, null)

    # One evaluation.

    def predict(self, x: Tensor, u: Level, cond: Condition) -> Tensor:
        """One evaluation in the network's native prediction, the shape of x."""
        levels = levels_of(u, x)
        return self._evaluate(x, self.process.timestep(levels), levels, cond, None)

    def denoise(
        self,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State | None = None,
    ) -> tuple[Tensor, State | None]:
        """The guided native prediction, through every applied hook. Differentiable."""
        return hooking.guided(self, self._hooks, self._guided)(x, step, cond, null, state)

    def _guided(
        self, x: Tensor, step: Step, cond: Condition, null: Condition | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """Classifier-free guidance in one batch (Ho and Salimans 2022, arXiv:2207.12598, eq. 6)."""
        n, s = len(x), step.guidance
        if s == 1 and not step.terms:
            return self._at(x, step, cond.expand(n)), state
        if null is None:
            raise UserError("expected a null condition to guide against, got none")
        parts = [null, cond, *(term for term, _ in step.terms)]
        rows = Condition.cat([part.expand(n) for part in parts])
        out = self._at(torch.cat([x] * len(parts)), step, rows).chunk(len(parts))
        guided = out[0] + s * (out[1] - out[0])
        for (_, weight), term in zip(step.terms, out[2:], strict=True):
            guided = guided + weight * (term - out[0])
        return guided, state

    def _at(self, x: Tensor, step: Step, cond: Condition) -> Tensor:
        levels = levels_of(step.u, x)
        if step.timestep is None:
            return self._evaluate(x, self.process.timestep(levels), levels, cond, step)
        return self._evaluate(x, levels_of(step.timestep, x), levels, cond, step)

    def _evaluate(
        self, x: Tensor, timestep: Tensor, u: Tensor, cond: Condition, step: Step | None
    ) -> Tensor:
        cond = cond.expand(len(x)).to(self.device, self.dtype)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)
        with autocast, self._evaluation.of(cond=cond, u=u, step=step):
            out = self.network(x.to(self.device, self.dtype), timestep, cond).to(x.dtype)
        self.counter.evaluated(out)
        return out

    def noise(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """The noisy latents at level u."""
        return self.process.noise(x0, eps, u)

    def target(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """What a perfect ``predict`` answers at ``noise(x0, eps, u)``."""
        return self.process.target(x0, eps, u)

    def to_x0(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """The clean latents that a prediction means."""
        return self.process.to_x0(x, prediction, u)

    def to_eps(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """The noise that a prediction means."""
        return self.process.to_eps(x, prediction, u)

    # Pictures.

    def schedule(self, request: Request, seeds: Sequence[int]) -> Schedule:
        """The steps of a resolved request, for one batch."""
        own = self.pipeline.scheduler
        fresh = scheduler(str(request.scheduler), own.config, type(own), self.schedulers)
        options = self.schedule_options(request, fresh)
        return Schedule(
            fresh,
            self.process,
            seeds,
            int(request.steps or 1),
            eta=request.eta,
            eta_scale=request.eta_scale,
            device=self.device,
            **options,
        )

    def schedule_options(self, request: Request, fresh: Any) -> dict[str, float]:
        """What a family's pipeline passes to ``set_timesteps``."""
        return {}

    def generate(self, request: Request | str | Sequence[str | Prompt]) -> Samples:
        """Draw. Texts are drawn with the model's defaults, on seeds 0, 1, 2, ..."""
        if not isinstance(request, Request):
            prompts = Prompt.of(request if isinstance(request, str) else tuple(request))
            request = Request(prompts=prompts, seeds=tuple(range(len(prompts))))
        return drawing.generate(self, request)

    def rollout(self, request: Request, last: int) -> Tensor:
        """Clean latents of ``request``, differentiable through the last ``last`` steps."""
        return drawing.rollout(self, request, last)

    def partial(self, request: Request, stop: int) -> tuple[Tensor, float]:
        """The x that the network reads at step ``stop`` of ``request``, and its level u."""
        return drawing.partial(self, request, stop)

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Latents (n, c, h', w') of pictures (n, 3, h, w): uint8, or floats in [0, 1]."""
        return vae.encode(self.pipeline.vae, pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, h, w) in [0, 1], in float32, of latents."""
        return vae.decode(self.pipeline.vae, latents, autocast=self.autocast)

    def attention(
        self, x: Tensor, u: Level, cond: Condition, layers: Selector = "*"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The prediction, and by attention layer the maps (n, heads, pixels, tokens)."""
        with recorded(self.modules(f"{self.denoiser}.*"), layers) as maps:
            return self.predict(x, u, cond), maps

    def save(self, folder: Path) -> None:
        """Write it as it is now to a new folder in the diffusers layout, whole or not at all."""
        known = [concept.to_json() for concept in self.known]
        notes = {**asdict(self.defaults), "weighting": self.weighting, "concepts": known}
        saving.save(self.pipeline, folder, notes)
