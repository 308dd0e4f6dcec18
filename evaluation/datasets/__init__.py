"""Public data sets from their original sources: fetched, checked and laid out as the readers expect them."""

from evaluation.datasets.errors import DatasetError
from evaluation.datasets.fetching import fetch
from evaluation.datasets.registry import DATASETS, Counts, Dataset, Remote, dataset

__all__ = ["DATASETS", "Counts", "Dataset", "DatasetError", "Remote", "dataset", "fetch"]
