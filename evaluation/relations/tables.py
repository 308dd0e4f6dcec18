"""What the latent relations of a trained model are about: its relation table, named by counting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from rich.table import Table

from dyngraph.events import Item
from dyngraph.relations import RelationSlot, RelationTable
from evaluation.coded import CodedLog
from evaluation.relations.model import TabledLrd
from evaluation.relations.runs import usage_of
from evaluation.relations.world import World
from models.lrd.naming import named
from models.lrd.posterior import log_posterior
from models.lrd.table import strongest_pairs

PAIRS = 40
"""Strongest pairs kept per relation: what a name is made from."""


@torch.no_grad()
def relation_table(model: TabledLrd, world: World, log: CodedLog) -> RelationTable:
    """The latent relations of a model, over the pairs of successive items that users took within the learned events.

    Raises ValueError for a model without posterior: its slots are told apart by nothing.
    """
    posterior = model.network.posterior
    if posterior is None:
        raise ValueError("these settings read no text, so there are no latent relations to name")
    learned, relations = world.split.learned, model.network.relations
    pairs = np.unique(np.stack((learned.past[:, 0], learned.targets), axis=1), axis=0)
    halves = posterior.halves(model.texts)
    past, candidate = halves.past[pairs[:, 0]].unsqueeze(1), halves.candidate[pairs[:, 1]].unsqueeze(1)
    q = log_posterior(past, candidate).exp().view(len(pairs), -1)[:, relations.latent_at :].double().numpy()
    by_id = [(log.item_ids[one], log.item_ids[other]) for one, other in pairs.tolist()]
    usage = usage_of(model, learned.past, learned.targets).most_probable[relations.latent_at :]
    embeddings = model.network.relation[relations.latent_at :].numpy().astype("<f2")
    slots = [
        RelationSlot(embedding.tobytes(), float(share), strongest)
        for embedding, share, strongest in zip(embeddings, usage, strongest_pairs(q, by_id, PAIRS), strict=True)
    ]
    table = RelationTable(1, int(log.ts[-1]), -1, tuple(slots), "")
    return named(table, {item.item_id: item for item in log.catalogue.values()})


def shown(title: str, table: RelationTable, log: CodedLog, examples: int = 2) -> Table:
    """A line per relation: its name, its share, and its strongest pairs by title."""
    items = {item.item_id: item for item in log.catalogue.values()}
    lines = Table(title=title)
    for column in ("relation", "name", "%", "strongest pairs"):
        lines.add_column(column)
    for number, slot in enumerate(table.slots, 1):
        told = [
            f"{_title(items, pair.past)} → {_title(items, pair.candidate)} ({pair.score:.2f})" for pair in slot.pairs
        ]
        lines.add_row(str(number), table.label(number), f"{100 * slot.usage:.0f}", "\n".join(told[:examples]))
    return lines


def _title(items: Mapping[str, Item], item_id: str, longest: int = 40) -> str:
    item = items.get(item_id)
    title = item.title if item and item.title else item_id
    return title if len(title) <= longest else title[: longest - 1] + "…"
