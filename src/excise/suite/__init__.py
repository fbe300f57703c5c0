"""One evaluation: the same prompts, attacks and judges for every model, and a report of it all."""

from excise.method import Budget
from excise.suite.arms import Arm, Role
from excise.suite.evaluate import evaluate
from excise.suite.moved import moved
from excise.suite.plan import Plan, plan
from excise.suite.sizes import SIZES, Sizes, sizes_of

__all__ = [
    "SIZES",
    "Arm",
    "Budget",
    "Plan",
    "Role",
    "Sizes",
    "evaluate",
    "moved",
    "plan",
    "sizes_of",
]
