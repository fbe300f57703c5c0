"""The original text encoder put back in the place of the one that was handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import Unsupported, UserError
from excise.primitives.attackers import unedited
from excise.store import hash_tensors
from excise.types import Call, Concept, EditLike, Hook, Progress, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class Swap(Attack):
    """Draws the prompts as they are through the unedited model's text encoders.

    Text encoders are shared between models and freely to be had, so an edit of them is undone by
    whoever exchanges the file; one of the denoiser alone does not notice. What guards do to a
    condition once it is encoded stays in place.

    Requests carry `Encoders`, which hold the unedited model's modules: a result that was saved is
    read back with ``edits={encoders.digest: encoders}``.
    """

    name: ClassVar[str] = "swap"
    paper: ClassVar[str] = "the control of every edit of a text encoder (cf. arXiv:2405.15234)"
    rewords: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "base", "weights"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {}

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Search:
        """Yield the prompts once.

        Raises:
            UserError: no unedited model, or none apart from the one under attack.
            Unsupported: one with other text encoders.
        """
        own = unedited(model, base)
        if own is None:
            raise UserError(
                "expected the unedited model, whose text encoders are put back, got "
                f"{'none' if base is None else 'the edited one itself'}; load it a second time "
                "and give it as the base"
            )
        if own.encoders != model.encoders:
            raise Unsupported(
                f"expected an unedited model with the text encoders {dict(model.encoders)}, got "
                f"{dict(own.encoders)}; give the model that was edited"
            )
        back = Encoders.of(own)
        yield tuple(Request(prompts=(prompt,), edit=back) for prompt in prompts)

    def carried(self, base: TextToImage | None) -> Mapping[str, EditLike]:
        """The unedited model's encoders."""
        found = () if base is None else (Encoders.of(base),)
        return {one.digest: one for one in found}


@dataclass(frozen=True, eq=False)
class Encoders(Hook):
    """Runs other text encoders where the model runs its own: the ``edit`` of a request.

    by: the modules by component's name. Vectors in the place of words, which are put into the
    model's own encoders, do not reach them.
    """

    by: Mapping[str, nn.Module] = field(repr=False)

    @classmethod
    def of(cls, model: TextToImage) -> Encoders:
        """Those of a model."""
        return cls({name: model.components[name] for name in model.encoders})

    @property
    def modules(self) -> tuple[str, ...]:
        """The text encoders, whole."""
        return tuple(self.by)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of their weights."""
        weights = {
            f"{part}.{name}": weight
            for part, module in self.by.items()
            for name, weight in module.state_dict().items()
        }
        return hash_tensors(weights)

    def applied(self, model: TextToImage) -> AbstractContextManager[None]:
        """The model with these encoders, its own out of reach with all that is around them."""
        return model.hooked((self,), key=self.digest)

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """The other encoder's answer."""
        return self.by[call.module](*args, **kwargs)
