"""The words of the package as values and protocols: frozen, no input or output, no model code."""

from excise.types.condition import PUNCTUATION, Condition, Index, Span, Tokens
from excise.types.lexicon import Lexicon
from excise.types.merging import merged
from excise.types.protocols import (
    Attack,
    EditLike,
    Eraser,
    Judge,
    Level,
    Metric,
    Part,
    Progress,
    Selector,
    TextProjection,
    TextToImage,
    World,
)
from excise.types.request import Defaults, Request, Samples, Start, Term
from excise.types.steps import Call, Denoise, Gradient, Hook, State, Step
from excise.types.values import TEMPLATES, Concept, Costs, Kind, Prompt, Score, digest, fill

__all__ = [
    "PUNCTUATION",
    "TEMPLATES",
    "Attack",
    "Call",
    "Concept",
    "Condition",
    "Costs",
    "Defaults",
    "Denoise",
    "EditLike",
    "Eraser",
    "Gradient",
    "Hook",
    "Index",
    "Judge",
    "Kind",
    "Level",
    "Lexicon",
    "Metric",
    "Part",
    "Progress",
    "Prompt",
    "Request",
    "Samples",
    "Score",
    "Selector",
    "Span",
    "Start",
    "State",
    "Step",
    "Term",
    "TextProjection",
    "TextToImage",
    "Tokens",
    "World",
    "digest",
    "fill",
    "merged",
]
