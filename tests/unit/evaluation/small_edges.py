"""Small random edge logs for tests of link prediction."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from evaluation.readers.edges import EdgeLog

N_USERS, N_ITEMS = 3, 5


def edge_log(rows: list[tuple[int, int, int]]) -> EdgeLog:
    """Edges ``(user, item, gap in ms since the one before)``."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return EdgeLog(
        "small",
        users=table[:, 0],
        items=table[:, 1],
        ts=table[:, 2].cumsum(),
        seq=np.arange(len(table), dtype=np.int64),
        features=np.empty((len(table), 0), dtype=np.float32),
        user_ids=np.arange(N_USERS),
        item_ids=np.arange(N_ITEMS),
    )


EDGES = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.sampled_from([0, 1, 60_000, 3_600_000, 9 * 86_400_000]),
    ),
    min_size=7,
    max_size=40,
).map(edge_log)
"""Logs with equal times, quick repeats and long pauses."""
