"""A small log with something to learn, and models small enough to learn it at once."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dyngraph.events import EventType, Item
from evaluation.coded import CodedLog, coded
from evaluation.readers.log import SCHEMA, InteractionLog
from evaluation.reasoning.held_out import HeldOutHistories
from models.sequential.histories import Histories, Places

DAY = 86_400_000


def circling(users: int = 60, events: int = 6, items: int = 12, seed: int = 0) -> CodedLog:
    """Every user walks on along one circle of items, two events a day; items of a kind share brand and category."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        start = int(rng.integers(items))
        for event in range(events):
            item = (start + event) % items
            rows.append((f"u{user}", f"i{item:02d}", int(EventType.PURCHASE), (user + event // 2) * DAY, None))
    rows.sort(key=lambda row: row[3])
    things = [
        Item(f"i{item:02d}", f"thing {item}", brand=f"brand {item // 3}", categories=(f"kind {item % 2}",))
        for item in range(items)
    ]
    return coded(InteractionLog("circle", pl.DataFrame(rows, schema=SCHEMA, orient="row"), things))


def split(log: CodedLog) -> HeldOutHistories:
    return HeldOutHistories.of(log, "published", 0)


class Averaging(nn.Module):
    """The mean of the items before a place: the smallest model that a training takes."""

    def __init__(self, n_items: int, histories: Histories) -> None:
        super().__init__()
        self.table, self.answer = nn.Embedding(1 + n_items, 8), nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.1)
        self._histories = histories

    @property
    def module(self) -> nn.Module:
        return self

    @property
    def items(self) -> Tensor:
        return self.table.weight

    def scores(self, places: Places) -> Tensor:
        return self.vectors(places) @ self.items.T

    def vectors(self, places: Places) -> Tensor:
        sequences, lengths = self._histories.before(places, 50)
        answer: Tensor = self.answer(self.dropout(self.table(sequences).sum(1) / lengths[:, None]))
        return answer

    def loss(self, places: Places, rng: np.random.Generator) -> Tensor:
        targets = torch.from_numpy(self._histories.items[places])
        return nn.functional.cross_entropy(self.scores(places), targets)


class FixedScores:
    """Scores handed in, for one question after the other."""

    def __init__(self, scores: NDArray[np.float64]) -> None:
        self._scores = torch.from_numpy(scores)
        self.asked = 0

    def scores(self, places: Places) -> Tensor:
        self.asked += len(places)
        return self._scores[self.asked - len(places) : self.asked]
