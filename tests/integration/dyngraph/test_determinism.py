"""State is a function of the log and of how it was cut: bit for bit, in any process, over any restart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, fed, feed, random_log

from dyngraph.state import digest
from models.system import SystemConfig, build_engine

LOG = random_log(96, seed=23, kinds=EVERY_KIND)
ROOT = Path(__file__).resolve().parents[3]

ELSEWHERE = """
from unit.dyngraph.small_logs import EVERY_KIND, fed, random_log
print(fed(random_log(96, seed=23, kinds=EVERY_KIND), 16).digest())
"""


def test_the_same_log_and_cuts_give_the_same_digest() -> None:
    assert fed(LOG, 16).digest() == fed(LOG, 16).digest()


def test_another_process_gives_the_same_digest() -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "PYTHONHASHSEED": "77",
    }
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == fed(LOG, 16).digest()


def test_the_digest_tells_different_states_apart() -> None:
    digests = {
        fed(LOG, 16).digest(),
        fed(LOG, 16, learn=False).digest(),
        fed(LOG[:80], 16).digest(),
        fed(LOG, 16, config=SystemConfig(tgn=SMALL.tgn, seed=1)).digest(),
    }
    assert len(digests) == 4


def test_reading_between_steps_does_not_matter() -> None:
    engine = build_engine(SMALL)
    for start in range(0, len(LOG), 16):
        engine.step(LOG[start : start + 16])
        engine.recommend(["user-1", "nobody"], k=3)
    assert engine.digest() == fed(LOG, 16).digest()


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("border", [0, 16, 40, 96])
def test_a_restored_engine_goes_on_exactly_where_the_former_stood(border: int, learn: bool) -> None:
    former, restored = fed(LOG[:border], 8, learn=learn), build_engine(SMALL)
    state = {name: value.clone() for name, value in former.state().items()}
    restored.load_state(state)
    assert restored.digest() == former.digest() == digest(state)
    users = ["user-0", "user-3", "nobody"]
    if border:
        assert restored.recommend(users) == former.recommend(users)
    for engine in (former, restored):
        feed(engine, LOG[border:], 8, learn=learn)
    assert restored.digest() == former.digest()
    assert restored.recommend(users) == former.recommend(users)
    assert digest(state) == fed(LOG[:border], 8, learn=learn).digest(), "going on wrote into the saved state"


def test_the_order_of_events_within_a_step_is_theirs_not_the_callers() -> None:
    engine = build_engine(SMALL)
    for start in range(0, len(LOG), 16):
        engine.step(LOG[start : start + 16][::-1])
    assert engine.digest() == fed(LOG, 16).digest()


def test_however_the_log_is_cut_the_graph_holds_the_same_nodes_and_edges() -> None:
    one, other = fed(LOG, 1, learn=False), fed(LOG, 13, learn=False)
    assert one.graph.sizes() == other.graph.sizes()
    assert one.graph.users.events.equal(other.graph.users.events)
    rings = [engine.graph.users.neighbours.state()["whole"] for engine in (one, other)]
    assert rings[0].equal(rings[1])
