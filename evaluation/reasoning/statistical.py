"""Reasoning graphs of a whole data set without an LLM, along held-out histories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.reasoning import NO_STEP
from evaluation.coded import CodedLog
from evaluation.profiles.stock import TextModel, TextStock
from evaluation.reasoning.held_out import HeldOutHistories
from llm_workers.reasoning.bulk import BulkGraphs, Progress, graphs_of_histories
from llm_workers.reasoning.coded import CodedCatalogue, Histories
from llm_workers.reasoning.counted import CountedNeighbours
from llm_workers.reasoning.settings import ReasoningSettings
from models.llmrg.chains import PlacedChains


class StatisticalChains:
    """A :class:`~evaluation.reasoning.rows.ChainBuilding` that counts.

    What goes together is counted over the learned events of all users but the one that is asked about, so neither a
    held-out item nor a user's own next one has a part in what is imagined.
    """

    def __init__(self, text_model: TextModel = "minilm", progress: Progress | None = None) -> None:
        self._text_model, self._progress = text_model, progress

    def __call__(self, log: CodedLog, data: HeldOutHistories, threshold: float | None) -> PlacedChains:
        """Steps of every event, and what is imagined for every place with a history."""
        histories = data.histories
        borders = np.append(np.unique(histories.starts), len(histories.items))
        held = np.zeros(len(histories.items), dtype=bool)
        held[data.validation] = held[data.tests] = True
        learned = np.diff(borders) - np.add.reduceat(held.astype(np.int64), borders[:-1])
        of_users = Histories(histories.items.astype(np.int32), borders)
        items = [log.catalogue.get(row, Item(item_id)) for row, item_id in enumerate(log.item_ids)]
        stock = TextStock(self._text_model)
        catalogue = CodedCatalogue.of(items, _rows(stock, items))
        asked_next = np.append(histories.starts[1:] == histories.starts[:-1], False)
        settings = ReasoningSettings(verify=False) if threshold is None else ReasoningSettings(threshold=threshold)
        graphs = graphs_of_histories(
            of_users,
            catalogue,
            CountedNeighbours.of(of_users, catalogue.arrays.alphabet, counted=learned),
            settings=settings,
            imagine=asked_next,
            progress=self._progress,
        )
        # A concept is encoded as an item with that title would be.
        return placed(data, graphs, _rows(stock, [Item(name, title=name) for name in graphs.concepts]))


def placed(data: HeldOutHistories, graphs: BulkGraphs, vectors: NDArray[np.float32]) -> PlacedChains:
    """Graphs in bulk, whose events are the places of ``data.histories``, as chains; ``vectors`` ``[1 + concepts, w]``.

    What was imagined after an event is for the question at the next place.
    """
    starts = data.histories.starts
    events = np.arange(len(starts))
    after = np.repeat(events, np.diff(graphs.imagined_borders))
    return PlacedChains(
        histories=data.histories,
        place=events,
        came_from=np.where(graphs.came_from == NO_STEP, NO_STEP, graphs.came_from + starts),
        concept=graphs.concept.astype(np.int64),
        imagined_place=after + 1,
        imagined_step=graphs.imagined_step + starts[after],
        imagined_item=graphs.imagined.astype(np.int64),
        imagined_score=graphs.imagined_score,
        vectors=vectors,
    )


def _rows(stock: TextStock, items: list[Item]) -> NDArray[np.float32]:
    """``[n, w]`` text vectors, zeros for an item without text."""
    kept = stock.of_items(items)
    vectors = np.zeros((len(items), stock.width), dtype=np.float32)
    for row, item in enumerate(items):
        if item.item_id in kept:
            vectors[row] = np.frombuffer(kept[item.item_id], dtype="<f2")
    return vectors
