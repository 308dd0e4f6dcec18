"""The command line: instant help, one line for a user's mistake, a traceback for ours."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.cli import is_user_error, one_line
from streams.cli.options import BadOption, broker_of, mapping, need_packages, write_json
from streams.cli.up import next_commands
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
        (("validate", "x" * 300 + ".csv"), "File name too long"),
        (("llm", "cache", "--forget", ""), "--forget '': is no user; give the id"),
        (("llm", "cache", "--cache", "none.sqlite"), "--cache none.sqlite: there is no such file"),
        (("llm", "cache", "--cache", "README.md"), "README.md is no answer cache: "),
        (("llm", "import-answers", "README.md", "--cache", "none.sqlite"), "none.sqlite: there is no such file"),
        (("llm", "import-answers", "README.md", "--cache", "LICENSE"), "LICENSE is no answer cache: "),
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
    for number in (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.EIO):
        assert is_user_error(OSError(number, "of a path", "a.csv"))
        assert not is_user_error(OSError(number, "of no path"))
    assert is_user_error(OSError(errno.ENOSPC, "No space left on device")), "writing does not say where"
    assert not is_user_error(OSError(errno.ECONNREFUSED, "refused", "a.sock"))
    assert not is_user_error(OSError("socket"))
    assert not is_user_error(RuntimeError("a fault of ours"))
    try:
        json.loads("{")
    except ValueError as error:
        assert not is_user_error(error), "a library's ValueError is a fault of ours"


def test_errors_fit_on_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(FileNotFoundError(2, "No such file", "a.csv")) == "a.csv: No such file"
    assert one_line(OSError(errno.ENOSPC, "No space left")) == (
        "No space left: make room where the output goes, or write it to another disk"
    )
    assert one_line(ValueError()) == "ValueError"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,ts\na,b,1700000000\n")
    done = evergraph("validate", str(tmp_path / "log.csv"), "--json", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: No space left on device: make room")
    assert "Traceback" not in done.stderr


def test_a_mapping_is_name_equals_column() -> None:
    assert mapping(["user_id=who", "ts=when=utc"]) == {"user_id": "who", "ts": "when=utc"}
    assert mapping(None) == {}
    with pytest.raises(BadOption):
        mapping(["=x"])


def test_the_broker_is_the_one_set_or_that_of_the_running_worker(tmp_path: Path) -> None:
    assert broker_of(Settings(broker="k:9092", state_dir=tmp_path)) == "k:9092"
    with pytest.raises(BadOption, match=r"evergraph up.* another --state-dir is found by EVERGRAPH_STATE_DIR=DIR$"):
        broker_of(Settings(state_dir=tmp_path))
    (tmp_path / "worker.json").write_text('{"pid": 1, "broker": "127.0.0.1:5", "http_port": 8321}')
    assert broker_of(Settings(state_dir=tmp_path)) == "127.0.0.1:5"
    (tmp_path / "worker.json").write_text("half writ")
    with pytest.raises(BadOption):
        broker_of(Settings(state_dir=tmp_path))


def test_what_comes_next_names_what_the_commands_would_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVERGRAPH_STATE_DIR", raising=False)
    assert next_commands(Settings(), "k:1") == ("evergraph publish FILE", "evergraph recommend USER")
    away = Settings(state_dir=tmp_path / "my state", prefix="shop.")
    publish, recommend = next_commands(away, "k:1")
    assert publish == "evergraph publish FILE --broker k:1 --prefix shop."
    assert recommend == f"evergraph recommend USER --state-dir '{tmp_path / 'my state'}'"
    monkeypatch.setenv("EVERGRAPH_STATE_DIR", str(away.state_dir))
    assert next_commands(away, "k:1") == ("evergraph publish FILE --prefix shop.", "evergraph recommend USER")


def test_figures_are_one_json_object(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "figures.json", {"events": 3})
    assert msgspec.json.decode((tmp_path / "new" / "figures.json").read_bytes()) == {"events": 3}


def test_what_an_option_needs_and_lacks_is_named_with_how_to_get_it() -> None:
    need_packages("--picture", "json")
    with pytest.raises(BadOption, match=r"^--picture needs nobody_has_this: pip install 'evergraph\[report\]'$"):
        need_packages("--picture", "json", "nobody_has_this")
