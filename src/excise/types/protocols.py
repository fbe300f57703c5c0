"""The protocols: what talks to what, and nothing about how."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from excise.types.condition import Condition
from excise.types.lexicon import Lexicon
from excise.types.request import Defaults, Request, Samples
from excise.types.steps import Hook, State, Step
from excise.types.values import Concept, Costs, Prompt, Score

Selector = str | Sequence[str]
Level = float | Tensor


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where one encoder's output lies in a condition's feature: token rows and feature columns.

    rows: (start, stop) in the L of ``hidden`` (n, L, d); (0, 1) in a feature without tokens.
    columns: (start, stop) in the feature's last axis.
    """

    encoder: str
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class TextProjection:
    """A weight that reads text: ``W @ feature``.

    weight: canonical name, (d_out, d_in). feature: the name in ``Condition.tensors`` whose last
        axis it reads (in its first columns, where it is wider). kind: what comes out of it.
    parts: which encoder's output stands where in the feature.
    """

    weight: str
    feature: str
    kind: str
    parts: tuple[Part, ...]


@runtime_checkable
class Progress(Protocol):
    """What long work reports to; `excise.progress` has some to use."""

    def start(self, stage: str, total: int | None = None, unit: str = "step") -> None:
        """Open a stage inside the one that is open."""

    def advance(self, n: int = 1) -> None:
        """`n` more units of the innermost stage are done."""

    def note(self, text: str) -> None:
        """One line worth reading."""

    def end(self) -> None:
        """Close the innermost stage."""


@runtime_checkable
class EditLike(Protocol):
    """What a Request may carry: something that can be applied to a model."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the edit does, whatever it is called."""

    def applied(self, model: TextToImage) -> AbstractContextManager[Any]:
        """The model with the edit, until the context ends."""


class TextToImage(Protocol):
    """The seam to a text-to-image diffusion model. Latents are float (n, c, h, w) throughout.

    ``u`` is a noise level in [0, 1], 0 = data: a number, or float (n,). Rows are independent.
    """

    @property
    def name(self) -> str:
        """What reports call the model."""

    @property
    def family(self) -> str:
        """What it is one of: ``stable-diffusion``, ``sdxl``, ``sd3``."""

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name: denoiser, text encoders, autoencoder. Names begin with these."""

    @property
    def denoiser(self) -> str:
        """The name of the denoising component: ``unet`` or ``transformer``."""

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the denoiser."""

    @property
    def precision(self) -> str:
        """What the denoiser is evaluated in: its type, or ``bfloat16 over float32`` weights."""

    @property
    def encoders(self) -> Mapping[str, int]:
        """The text encoders in order, each with the width of its token embedding."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the latents of a picture of the model's own size."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) of the model's own pictures, in pixels."""

    @property
    def known(self) -> tuple[Concept, ...]:
        """What the model says it can draw, on which is measured what was kept; may be empty."""

    @property
    def defaults(self) -> Defaults:
        """Steps, guidance and scheduler where a request names none."""

    @property
    def weighting(self) -> str:
        """How the training weighed noise levels: ``uniform`` or ``min_snr`` (arXiv:2303.09556)."""

    @property
    def levels(self) -> int | None:
        """Number of noise levels u = i / (levels - 1) the network knows; None if continuous."""

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks that are applied, the innermost first."""

    @property
    def costs(self) -> Costs:
        """What this model has spent so far."""

    @property
    def edits(self) -> tuple[str, ...]:
        """Digests of the applied deltas and hooks: a part of every cache's key."""

    def fingerprint(self) -> str:
        """SHA-256 over all weights as they are now."""

    def encode(self, prompts: str | Prompt | Sequence[str | Prompt]) -> Condition:
        """One row a prompt. Differentiable in the prompts' soft vectors."""

    def encode_soft(self, text: str, soft: Mapping[str, Mapping[str, Tensor]]) -> Condition:
        """K rows of one text at once, its soft vectors given as (K, k, d) by word and encoder."""

    def lexicon(self) -> Lexicon:
        """The words that every text encoder reads as one token; listed once."""

    def null(self, n: int = 1) -> Condition | None:
        """The family's own unconditional; None in a family without one."""

    def conditions(
        self,
        prompts: Sequence[str | Prompt] = (),
        negative: Sequence[str | Prompt] | None = None,
        condition: Condition | None = None,
        *,
        size: tuple[int, int] | None = None,
    ) -> tuple[Condition, Condition | None]:
        """What ``denoise`` is given: encoded, then mapped by the applied hooks."""

    def predict(self, x: Tensor, u: Level, cond: Condition) -> Tensor:
        """One evaluation in the network's native prediction, the shape of x."""

    def denoise(
        self,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State | None = None,
    ) -> tuple[Tensor, State | None]:
        """The guided native prediction, through every applied hook. Differentiable."""

    def noise(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """The noisy latents at level u, of clean latents and standard normal noise."""

    def target(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """What a perfect ``predict`` answers at ``noise(x0, eps, u)``."""

    def to_x0(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """The clean latents that a prediction means; affine in it."""

    def to_eps(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """The noise that a prediction means; affine in it."""

    def generate(self, request: Request | str | Sequence[str | Prompt]) -> Samples:
        """Draw. Texts are drawn with the model's defaults, on seeds 0, 1, 2, ..."""

    def rollout(self, request: Request, last: int) -> Tensor:
        """Clean latents of ``request``, differentiable through the last ``last`` steps."""

    def partial(self, request: Request, stop: int) -> tuple[Tensor, float]:
        """The x that the network reads at step ``stop`` of ``request``, and its level u."""

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Latents (n, c, h', w') of pictures (n, 3, h, w): uint8, or floats in [0, 1]."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, h, w) in [0, 1], in float32, of latents."""

    def text_projections(self) -> tuple[TextProjection, ...]:
        """The weights of the denoiser that read text."""

    def attention(
        self, x: Tensor, u: Level, cond: Condition, layers: Selector = "*"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The prediction, and by attention layer the maps (n, heads, pixels, tokens)."""

    def blocks(self) -> dict[str, tuple[str, ...]]:
        """Named groups of canonical parameter names; the coarse ones partition the denoiser."""

    def parameters(self, selector: Selector = "denoiser") -> dict[str, nn.Parameter]:
        """Live parameters by canonical name."""

    def modules(self, selector: Selector) -> dict[str, nn.Module]:
        """Live submodules by canonical name."""

    def swapped(
        self, deltas: Mapping[str, Tensor], *, strength: float = 1.0, key: str | None = None
    ) -> AbstractContextManager[None]:
        """Add deltas to named weights; the originals come back, bit for bit, at the end.

        key: names the change in caches' keys; left out, the change is taken for a new one.
        """

    def trainable(self, selector: Selector = ()) -> AbstractContextManager[dict[str, nn.Parameter]]:
        """Let the selected parameters, and no others, take gradients; all is put back at the end.

        With nothing selected the whole model is frozen, which is what a search over inputs wants.
        """

    def hooked(
        self, hooks: Sequence[Hook], *, key: str | None = None
    ) -> AbstractContextManager[None]:
        """Apply hooks, the first innermost, outside of those already applied."""

    def unhooked(self) -> AbstractContextManager[None]:
        """Without the hooks that are applied, to compare with; they are back at the end."""

    def copied(self) -> TextToImage:
        """The same model once more, with weights of its own; not while an edit is applied."""

    def save(self, folder: Path) -> None:
        """Write it as it is now to a new folder in the diffusers layout, whole or not at all."""


class Judge(Protocol):
    """Says whether a picture shows a concept."""

    @property
    def name(self) -> str:
        """What scores made by it are called."""

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        """One score a picture, of uint8 (n, 3, h, w) or floats in [0, 1]."""


class World(Protocol):
    """What a model was trained on, where that can be rendered anew."""

    @property
    def name(self) -> str:
        """What a model's notes call it."""

    def knows(self, concept: Concept) -> bool:
        """Whether it can render it."""

    def pictures(self, concept: Concept, n: int, *, seed: int) -> Tensor:
        """``n`` >= 1 pictures of a concept that it knows, uint8 (n, 3, h, w)."""


class Eraser(Protocol):
    """A method: a frozen dataclass of hyperparameters."""

    def run(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        *,
        seed: int = 0,
        judge: Judge | None = None,
        progress: Progress | None = None,
    ) -> EditLike:
        """The edit that takes the concepts out of the model, which is left as it was."""


class Attack(Protocol):
    """A search for an input that brings the concept back; it never sees the judge."""

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Generator[tuple[Request, ...], tuple[bool, ...], None]:
        """Yields one candidate a prompt; is sent which prompts fell."""


class Metric(Protocol):
    """What was kept."""

    def measure(
        self,
        model: TextToImage,
        base: TextToImage | None,
        concepts: tuple[Concept, ...],
        *,
        seed: int = 0,
        judge: Judge | None = None,
        progress: Progress | None = None,
    ) -> Mapping[str, Any]:
        """JSON values by name. ``model`` is the edited model, ``base`` the unedited one."""
