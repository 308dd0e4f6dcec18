"""Which data sets can be fetched, from where, on which terms, and what proves that the right thing came.

Not every publisher gives a checksum. What is checked for each set, and how far that goes, stands in ``proof``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluation.datasets.errors import DatasetError


@dataclass(frozen=True)
class Remote:
    """One file at its source. ``unpack``: a zip archive whose members are wanted, not itself."""

    url: str
    digest: str | None = None
    unpack: bool = False

    @property
    def name(self) -> str:
        """The last part of the address, also the file's name on a mirror."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Counts:
    """What a set must hold when it is read; None is not checked. ``lines`` are events and what was left out."""

    events: int | None = None
    users: int | None = None
    items: int | None = None
    lines: int | None = None


@dataclass(frozen=True)
class Dataset:
    """A public data set."""

    name: str
    title: str
    files: tuple[Remote, ...]
    size: str
    """Roughly what is transferred."""
    licence: str
    """Its terms in one line, as the publisher states them."""
    cite: str
    proof: str
    """What is checked, and how far that goes."""
    counts: Counts = Counts()
    members: Mapping[str, str] = field(default_factory=dict)
    """Checksums of files in the folder, by name."""


GROUPLENS_TERMS = (
    "GroupLens: research use; no endorsement implied; acknowledge in publications; no redistribution and no commercial "
    "use without permission"
)
SNAP_AMAZON = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"

DATASETS: dict[str, Dataset] = {
    entry.name: entry
    for entry in (
        Dataset(
            name="ml-100k",
            title="MovieLens 100K",
            files=(
                Remote(
                    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                    digest="sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
                    unpack=True,
                ),
            ),
            size="5 MB",
            licence=GROUPLENS_TERMS,
            cite="F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015",
            proof="sha256 of the archive (published: md5 0e33842e24a9c977be4e0107933c0723) and of u.data; counts",
            counts=Counts(100_000, 943, 1_682),
            members={"u.data": "sha256:06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"},
        ),
        Dataset(
            name="ml-1m",
            title="MovieLens 1M",
            files=(
                Remote(
                    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
                    digest="sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
                    unpack=True,
                ),
            ),
            size="6 MB",
            licence=GROUPLENS_TERMS,
            cite="F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015",
            proof="sha256 of the archive (published: md5 c4d9eecfca2ab87c1945afe126590906) and of each table; counts",
            counts=Counts(1_000_209, 6_040, 3_706),
            members={
                "ratings.dat": "sha256:506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
                "movies.dat": "sha256:0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
                "users.dat": "sha256:1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",
            },
        ),
        Dataset(
            name="amazon-beauty",
            title="Amazon Beauty, 5-core, 2014: reviews and product metadata",
            files=(
                Remote(f"{SNAP_AMAZON}/reviews_Beauty_5.json.gz"),
                Remote(f"{SNAP_AMAZON}/meta_Beauty.json.gz"),
            ),
            size="150 MB",
            licence="no licence is stated; research use, and the publisher asks to be cited",
            cite="R. He and J. McAuley, Ups and Downs, WWW 2016",
            proof="no checksum is published: counts of reviews, users and items only; the metadata are not checked",
            counts=Counts(198_502, 22_363, 12_101),
        ),
        Dataset(
            name="online-retail",
            title="UCI Online Retail",
            files=(Remote("https://archive.ics.uci.edu/static/public/352/online+retail.zip", unpack=True),),
            size="23 MB",
            licence="CC BY 4.0",
            cite="D. Chen, Online Retail, UCI Machine Learning Repository, 2015, doi:10.24432/C5BW33",
            proof="md5 of the workbook as others have recorded it (none is published for the archive); number of lines",
            counts=Counts(lines=541_909),
            members={"Online Retail.xlsx": "md5:8f8e6d94ba88f976f4d8290cb2dea7fd"},
        ),
        Dataset(
            name="wikipedia",
            title="Wikipedia edits, JODIE",
            files=(Remote("https://snap.stanford.edu/jodie/wikipedia.csv"),),
            size="530 MB",
            licence="no licence is stated; cite the paper",
            cite="S. Kumar, X. Zhang and J. Leskovec, Predicting Dynamic Embedding Trajectory, KDD 2019",
            proof="no checksum is published: counts of edits, users and pages only",
            counts=Counts(157_474, 8_227, 1_000),
        ),
    )
}


def dataset(name: str) -> Dataset:
    """The entry of that name. Raises :class:`DatasetError` listing the known ones."""
    if name not in DATASETS:
        raise DatasetError(f"no data set called {name!r} can be fetched; known are: {', '.join(DATASETS)}")
    return DATASETS[name]
