"""Where the key of an endpoint is found. It is handed to the HTTP client and kept nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from llm_workers.config import OPENAI_URL, LlmConfig, LlmConfigError

NO_KEY = "none"
"""Sent to servers that want none."""


def read_key(config: LlmConfig, environ: Mapping[str, str]) -> str:
    """The key, from the file or the environment variable of ``config``.

    Raises :class:`~llm_workers.config.LlmConfigError`, whose text never holds what was read.
    """
    if config.api_key_file is not None:
        origin = f"api_key_file = {str(config.api_key_file)!r}"
        try:
            key = config.api_key_file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LlmConfigError(f"{origin}: cannot be read ({type(error).__name__}); give a readable file") from None
        if not key:
            raise LlmConfigError(f"{origin}: is empty; it must hold the key and nothing else")
    else:
        origin = f"the key in the environment variable {config.api_key_env}"
        key = environ.get(config.api_key_env, "").strip()
        if not key and config.base_url == OPENAI_URL:
            raise LlmConfigError(f"{origin}: is missing; set it, or api_key_file, or the base_url of a local server")
    if not all("!" <= letter <= "~" for letter in key):
        raise LlmConfigError(f"{origin}: holds spaces or letters no key has; it must be the key and nothing else")
    return key or NO_KEY
