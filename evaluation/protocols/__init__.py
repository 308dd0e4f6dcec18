"""Protocols: how a log is walked, what is ranked when, and the one shape of the result."""

from evaluation.protocols.outcome import Outcome, OutcomeBuilder, OutcomeFileError, load_outcome, save_outcome
from evaluation.protocols.plan import Plan, evaluated_rows

__all__ = [
    "Outcome",
    "OutcomeBuilder",
    "OutcomeFileError",
    "Plan",
    "evaluated_rows",
    "load_outcome",
    "save_outcome",
]
