"""How long ago related items were taken: what decays can begin as (KDA's start from observed gaps)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evaluation.relations.world import World
from models.lrd.decay import log_gap
from models.lrd.relations import Relations

MOST_EXAMPLES = 50_000


def gap_histograms(world: World, relations: Relations, bins: int) -> Tensor:
    """``[R, bins]`` counts of learned pairs (past item, next item) by whole log₂ minutes between them, per relation.

    The virtual and the latent relations count every pair; a link those that are linked, an attribute those that share
    the value. The first :data:`MOST_EXAMPLES` examples are counted.
    """
    learned = world.split.learned.take(np.arange(min(len(world.split.learned), MOST_EXAMPLES)))
    row, slot = np.nonzero(learned.past)
    past, target = learned.past[row, slot], learned.targets[row]
    gap = log_gap(torch.from_numpy(learned.minutes[row, slot])).long().numpy().clip(max=bins - 1)
    size = world.n_items + 1
    everything = np.ones(len(past), dtype=bool)
    values = world.attributes.values
    related = [
        everything,
        *(np.isin(past * size + target, pairs[:, 0] * size + pairs[:, 1]) for pairs in world.links.values()),
        *((values[past, a] == values[target, a]) & (values[past, a] > 0) for a in range(values.shape[1])),
        *(everything for _ in range(relations.latent)),
    ]
    return torch.from_numpy(np.stack([np.bincount(gap[these], minlength=bins) for these in related])).float()
