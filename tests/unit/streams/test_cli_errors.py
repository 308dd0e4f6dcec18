"""The command line: instant help, one line for a user's mistake, a traceback for ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.cli import is_user_error, one_line
from streams.cli.options import BadOption, broker_of, mapping, need_packages, write_json
from streams.settings import Settings, SettingsError

ROOT = Path(__file__).parents[3]


def evergraph(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evergraph", *arguments]
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **env}
    return subprocess.run(command, capture_output=True, text=True, env=clean, timeout=60, cwd=ROOT)


def test_version_and_help() -> None:
    from evergraph import __version__

    assert evergraph("--version").stdout.strip() == f"evergraph {__version__}"
    shown = evergraph("--help")
    assert shown.returncode == 0
    for verb in ("publish", "consume", "validate", "topics"):
        assert verb in shown.stdout


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = "torch polars faust kafka aiohttp river numpy"
    program = f"import sys, evergraph, streams.cli; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("publish", "none.parquet", "--broker", "127.0.0.1:1"), "none.parquet"),
        (("publish", "x.csv"), "no broker: give --broker host:port"),
        (("validate", "none.csv"), "none.csv"),
        (("validate", "pyproject.toml", "--map", "user_id"), "--map 'user_id': not name=column"),
        (("consume", "--from", "noon", "--broker", "127.0.0.1:1"), "--from 'noon'"),
        (("consume", "--topic", "none", "--broker", "127.0.0.1:1"), "topic 'none' is unknown"),
        (("topics", "schema", "none"), "topic 'none' is unknown"),
        (("topics", "list", "--prefix", "a b"), "--prefix = 'a b'"),
        (("topics", "create", "--config", "none.toml"), "none.toml: cannot be read"),
    ],
)
def test_a_mistake_prints_one_line_and_ends_with_code_2(arguments: tuple[str, ...], told: str) -> None:
    done = evergraph(*arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_the_schemas_are_printed_as_json() -> None:
    assert "InteractionMessage" in json.loads(evergraph("topics", "schema", "interactions").stdout)["$defs"]
    assert json.loads(evergraph("topics", "schema", "--asyncapi").stdout)["asyncapi"] == "3.0.0"


def test_only_what_comes_from_the_input_counts_as_a_users_error() -> None:
    assert is_user_error(SettingsError("x"))
    assert is_user_error(FileNotFoundError(2, "No such file", "a.csv"))
    assert not is_user_error(OSError("socket"))
    assert not is_user_error(RuntimeError("a fault of ours"))
    try:
        json.loads("{")
    except ValueError as error:
        assert not is_user_error(error), "a library's ValueError is a fault of ours"


def test_errors_fit_on_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(FileNotFoundError(2, "No such file", "a.csv")) == "a.csv: No such file"
    assert one_line(ValueError()) == "ValueError"


def test_a_mapping_is_name_equals_column() -> None:
    assert mapping(["user_id=who", "ts=when=utc"]) == {"user_id": "who", "ts": "when=utc"}
    assert mapping(None) == {}
    with pytest.raises(BadOption):
        mapping(["=x"])


def test_the_broker_is_the_one_set_or_that_of_the_running_worker(tmp_path: Path) -> None:
    assert broker_of(Settings(broker="k:9092", state_dir=tmp_path)) == "k:9092"
    with pytest.raises(BadOption, match="evergraph up"):
        broker_of(Settings(state_dir=tmp_path))
    (tmp_path / "worker.json").write_text('{"pid": 1, "broker": "127.0.0.1:5", "http_port": 8321}')
    assert broker_of(Settings(state_dir=tmp_path)) == "127.0.0.1:5"
    (tmp_path / "worker.json").write_text("half writ")
    with pytest.raises(BadOption):
        broker_of(Settings(state_dir=tmp_path))


def test_figures_are_one_json_object(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "figures.json", {"events": 3})
    assert msgspec.json.decode((tmp_path / "new" / "figures.json").read_bytes()) == {"events": 3}


def test_what_an_option_needs_and_lacks_is_named_with_how_to_get_it() -> None:
    need_packages("--picture", "json")
    with pytest.raises(BadOption, match=r"^--picture needs nobody_has_this: pip install 'evergraph\[report\]'$"):
        need_packages("--picture", "json", "nobody_has_this")
