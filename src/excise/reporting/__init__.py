"""The record of what was done, and the page and table that are made from it."""

from excise.reporting.attacks import (
    AttackResult,
    BestOf,
    Decided,
    Decoys,
    Excess,
    Recovery,
    RecoveryPoint,
    Rung,
    WorstFound,
)
from excise.reporting.figures import Cost, Estimate, Rate
from excise.reporting.findings import (
    AgreementRow,
    Block,
    Blocks,
    Inversions,
    Inverted,
    Kept,
    KeptRow,
    Measure,
    OverErasure,
    RateRow,
    Replacement,
    Strength,
    StrengthPoint,
)
from excise.reporting.record import FORMAT, Record
from excise.reporting.report import Report
from excise.reporting.subject import (
    Arm,
    Check,
    CostRow,
    Criteria,
    EditFacts,
    JudgeFacts,
    Pictures,
    Subject,
)
from excise.reporting.tables import Scores
from excise.reporting.verdict import Verdict

__all__ = [
    "FORMAT",
    "AgreementRow",
    "Arm",
    "AttackResult",
    "BestOf",
    "Block",
    "Blocks",
    "Check",
    "Cost",
    "CostRow",
    "Criteria",
    "Decided",
    "Decoys",
    "EditFacts",
    "Estimate",
    "Excess",
    "Inversions",
    "Inverted",
    "JudgeFacts",
    "Kept",
    "KeptRow",
    "Measure",
    "OverErasure",
    "Pictures",
    "Rate",
    "RateRow",
    "Record",
    "Recovery",
    "RecoveryPoint",
    "Replacement",
    "Report",
    "Rung",
    "Scores",
    "Strength",
    "StrengthPoint",
    "Subject",
    "Verdict",
    "WorstFound",
]
