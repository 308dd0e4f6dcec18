"""Settings and keys: every mistake names itself and its fix, and no key is ever repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from llm_workers.client.keys import NO_KEY, read_key
from llm_workers.config import LlmConfig, LlmConfigError


def test_the_defaults_need_nothing() -> None:
    assert LlmConfig().producer == "statistical"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"producer": "oracle"}, "statistical"),
        ({"producer": "endpoint"}, "model is empty"),
        ({"timeout_s": 0}, "timeout_s = 0: must be above 0; the default is 60.0"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"tokens_per_minute": -1}, "tokens_per_minute = -1: must be 0 or more"),
        ({"temperature": 3.0}, "temperature"),
        ({"base_url": "localhost:8080"}, "http://localhost:8080/v1"),
        ({"base_url": "http://[::1"}, "is no URL"),
        ({"base_url": "http://me:hunter2@host/v1"}, "api_key_file"),
        ({"embeddings_base_url": "ftp://x"}, "embeddings_base_url"),
        ({"embeddings_model": "e"}, "embeddings_width is 0"),
    ],
)
def test_a_mistake_names_the_setting_and_the_fix(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(LlmConfigError) as error:
        LlmConfig(**settings)
    assert told in str(error.value)
    assert "hunter2" not in str(error.value)


def test_decoding_reports_the_same_and_unknown_names() -> None:
    with pytest.raises(msgspec.ValidationError, match="model is empty"):
        msgspec.convert({"producer": "endpoint"}, LlmConfig)
    with pytest.raises(msgspec.ValidationError, match="modle"):
        msgspec.convert({"modle": "x"}, LlmConfig)


def test_where_keys_come_from(tmp_path: Path) -> None:
    local = "http://localhost:1/v1"
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert read_key(LlmConfig(api_key_env="K"), {"K": "from-env"}) == "from-env"
    assert read_key(LlmConfig(api_key_env="K", api_key_file=file), {"K": "from-env"}) == "from-file"
    assert read_key(LlmConfig(base_url=local), {}) == NO_KEY
    with pytest.raises(LlmConfigError, match="K: is missing"):
        read_key(LlmConfig(api_key_env="K"), {})


@pytest.mark.parametrize("content", ["", "two words", "line\nbreak", "schlüssel-geheim"])
def test_a_file_that_is_no_key_is_not_repeated(content: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(LlmConfigError) as error:
        read_key(LlmConfig(api_key_file=file), {})
    assert not content or content not in str(error.value)
    with pytest.raises(LlmConfigError, match="cannot be read"):
        read_key(LlmConfig(api_key_file=tmp_path / "none"), {})
