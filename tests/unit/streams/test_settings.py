"""Settings come from flags, environment, file and defaults, in that order, and errors say which."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.settings import Settings, SettingsError, load_settings
from streams.worker.process import Role, shard_config, trainer_settings


def test_defaults_need_no_environment() -> None:
    settings = load_settings(env={})
    assert settings == Settings()
    assert (settings.broker, settings.prefix, settings.http_port) == (None, "evergraph.", 8321)


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    config = tmp_path / "evergraph.toml"
    config.write_text("max_batch = 1\nlinger_ms = 1\nseed = 1\n")
    env = {"EVERGRAPH_MAX_BATCH": "2", "EVERGRAPH_LINGER_MS": "2"}
    settings = load_settings({"max_batch": 3, "seed": None}, env=env, config=config)
    assert (settings.max_batch, settings.linger_ms, settings.seed) == (3, 2, 1)


def test_paths_and_switches_are_understood(tmp_path: Path) -> None:
    env = {"EVERGRAPH_LEARN": "false", "EVERGRAPH_STATE_DIR": "~/somewhere"}
    settings = load_settings({"broker_bin": tmp_path}, env=env)
    assert settings.learn is False
    assert settings.state_dir == Path.home() / "somewhere"
    assert settings.broker_bin == tmp_path


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"EVERGRAPH_MAX_BATCH": "0"}, "EVERGRAPH_MAX_BATCH = '0'"),
        ({"EVERGRAPH_MAX_BATCH": "many"}, "EVERGRAPH_MAX_BATCH = 'many'"),
        ({"EVERGRAPH_BATCHING": "fixed:0"}, "EVERGRAPH_BATCHING"),
        ({"EVERGRAPH_CLOCK": "sundial"}, "EVERGRAPH_CLOCK"),
        ({"EVERGRAPH_LEARNER": "both"}, "EVERGRAPH_LEARNER"),
        ({"EVERGRAPH_WEIGHTS_EVERY_EVENTS": "0"}, "EVERGRAPH_WEIGHTS_EVERY_EVENTS"),
        ({"EVERGRAPH_HTTP_PORT": "70000"}, "EVERGRAPH_HTTP_PORT"),
        ({"EVERGRAPH_PREFIX": "a b"}, "EVERGRAPH_PREFIX"),
    ],
)
def test_a_bad_value_is_refused_with_its_origin(env: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env=env)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("EVERGRAPH_CLOCK", "'wall', 'log'"),
        ("EVERGRAPH_LLM_REASONER", "'', 'endpoint', 'embedded', 'statistical'"),
        ("EVERGRAPH_LLM_PRODUCER", "'endpoint', 'embedded', 'statistical'"),
    ],
)
def test_a_value_that_is_not_on_the_list_is_refused_with_the_list(variable: str, values: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env={variable: "foo"})
    assert str(caught.value) == f"{variable} = 'foo': is one of {values}"


def test_an_unknown_setting_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    config = tmp_path / "evergraph.toml"
    config.write_text("max_bach = 1\n")
    with pytest.raises(SettingsError, match=r"evergraph\.toml: there is no setting 'max_bach'.*max_batch"):
        load_settings(env={}, config=config)


def test_a_config_file_that_is_missing_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(env={}, config=tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("max_batch = = 1")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(env={}, config=broken)


def test_names_follow_from_the_prefix() -> None:
    settings = Settings(prefix="shop.", batching="fixed:128")
    assert settings.topic("items") == "shop.items"
    assert settings.consumer_group() == "shop.evergraph-graph"
    assert settings.fixed_batch == 128
    assert Settings().fixed_batch is None


def test_a_trainer_keeps_its_state_apart_and_hands_over_where_the_worker_looks(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, learner="trainer", linger_ms=5, http_port=8321)
    theirs = trainer_settings(settings)
    assert settings.weights_folder == theirs.weights_folder == tmp_path / "weights"
    assert theirs.state_dir == tmp_path / "trainer"
    assert theirs.consumer_group() != settings.consumer_group()
    assert (theirs.http_port, theirs.linger_ms) == (0, settings.trainer_linger_ms)
    serving, training = shard_config(settings), shard_config(settings, Role.TRAINER)
    assert (serving.weights(3), serving.learn_encoder, serving.weights_every) == (training.weights(3), False, 0)
    assert (training.learn_encoder, training.weights_every) == (True, 2_000)
    assert serving.folder(0) != training.folder(0)
    inline = shard_config(Settings(state_dir=tmp_path))
    assert (inline.learn_encoder, inline.weights_every) == (True, 0)
