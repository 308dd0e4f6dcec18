"""Reading interaction logs: whatever the file looks like, what comes out is one :class:`InteractionLog`.

Replay, publishing and validation share these functions, so that a file that validates is a file that replays.
"""

from evaluation.readers.bundled import bundled_path
from evaluation.readers.errors import DataFileError, Problem
from evaluation.readers.log import InteractionLog
from evaluation.readers.reading import read_log
from evaluation.readers.validate import ValidationReport, validate_log

__all__ = [
    "DataFileError",
    "InteractionLog",
    "Problem",
    "ValidationReport",
    "bundled_path",
    "read_log",
    "validate_log",
]
