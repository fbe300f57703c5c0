"""How well pictures fit their own prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from excise.errors import MissingJudge
from excise.metrics.base import BASE, EDIT, Metric, Work, mean_interval, rate_json
from excise.primitives.clip import CLIP, Clip, clip_of
from excise.primitives.probe import Look
from excise.stats import Interval


@dataclass(frozen=True, kw_only=True)
class ClipScore(Metric):
    """CLIP score of the pictures of all that is to stay: 100 max(cos(picture, prompt), 0).

    A CLIP sees little more than what it was trained on, and small differences between models can
    lie within its noise: hold an edit's figure against the base's.

    pictures: a class, as in `kept`, so that the same are looked at. clip: a folder, or an id on the
    hub; left out, the model's own, else that of a zero-shot judge. level: of the intervals, which
    are across prompts.
    """

    name: ClassVar[str] = "clip_score"
    paper: ClassVar[str] = "Hessel et al. 2021, arXiv:2104.08718"

    clip: str | None = None
    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By model: the mean score; change: the edit's less the base's, paired."""
        clip = clip_of(work.judge, work.plain) if self.clip is None else Clip(source=self.clip)
        if clip is None:
            raise MissingJudge(
                f"{self.name} needs a CLIP, got none, and the model brings none; name a folder or "
                "an id on the hub: clip=openai/clip-vit-base-patch32"
            )
        name = CLIP if self.clip is None else f"{CLIP} {clip.digest[:12]}"
        looks = work.every(self.kept_probe(work), {name: clip})
        scores = {arm: clip_scores(clip, look, name) for arm, look in looks.items()}
        prompts = prompts_of(looks[EDIT])
        found: dict[str, Any] = {"clip": clip.title, "pictures": len(prompts)}
        for arm, values in scores.items():
            found[arm] = rate_json(mean_interval(values.numpy(), prompts, self.level))
        if BASE in scores:
            gap = scores[EDIT] - scores[BASE]
            found["change"] = rate_json(mean_interval(gap.numpy(), prompts, self.level))
        return found


def clip_scores(clip: Clip, look: Look, name: str = CLIP) -> Tensor:
    """Of each picture, float64 (n,) in [0, 100]. name: of its embeddings among the features."""
    texts = prompts_of(look)
    each = list(dict.fromkeys(texts))
    embedded = clip.texts(each)[[each.index(text) for text in texts]]  # (n, d)
    cosines = (look.features[name] * embedded).sum(dim=1).double()
    return 100 * cosines.clamp_min(0)


def mean_score(clip: Clip, look: Look, name: str = CLIP, level: float = 0.95) -> Interval:
    """The mean of `clip_scores`, with an interval across prompts."""
    return mean_interval(clip_scores(clip, look, name).numpy(), prompts_of(look), level)


def prompts_of(look: Look) -> Sequence[str]:
    """The text of each shot's prompt."""
    return [shot.prompt.text for shot in look.probe.shots]
