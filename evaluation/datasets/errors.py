"""What can go wrong while a data set is brought here."""

from __future__ import annotations


class DatasetError(RuntimeError):
    """A data set that could not be fetched or is not what it should be. The message is one line and complete."""
