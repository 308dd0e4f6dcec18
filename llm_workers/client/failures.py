"""From what an HTTP client raises to the few errors that the layers above can act on."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import openai

from llm_workers.protocols import LlmError

SAID = 200
"""Most characters repeated of what a server says."""


class EndpointError(LlmError):
    """A request that failed."""

    def __init__(
        self, code: str, message: str, *, retry: bool, after_s: float | None = None, status: int = 0, said: str = ""
    ) -> None:
        super().__init__(code, message, retry=retry, after_s=after_s)
        self.status, self.said = status, said
        """HTTP status, 0 for none, and the server's own words (never repeated whole)."""
        self.free = status != 0
        """Whether it surely cost nothing. Without a status the server may have worked, and may bill, unseen."""


def endpoint_error(error: openai.APIError, where: str, secret: str) -> EndpointError:
    """``where`` names the endpoint in messages; ``secret`` is cut out of them."""
    if isinstance(error, openai.APITimeoutError):
        return EndpointError("timeout", f"{where} did not answer in time; see timeout_s", retry=True)
    if not isinstance(error, openai.APIStatusError):
        failed = EndpointError("unavailable", f"{where} cannot be reached, or broke off its answer", retry=True)
        failed.free = type(error.__cause__).__name__ == "ConnectError"
        return failed
    status, said = error.status_code, _said(error).replace(secret, "***")
    words = f"{where} answered {status}"
    if status in (401, 403):
        return EndpointError(
            "unauthorised",
            f"{words}: it does not accept the key; correct api_key_env or api_key_file and start again "
            "(nothing more is asked until then)",
            retry=False,
            status=status,
        )
    if status == 429:
        after_s = _retry_after(error.response.headers)
        if error.code == "insufficient_quota":
            after_s = max(after_s or 0.0, 300.0)
        return EndpointError("rate_limited", f"{words}: too many requests", retry=True, after_s=after_s, status=status)
    if status in (408, 409, 425) or status >= 500:
        after_s = _retry_after(error.response.headers)
        return EndpointError("unavailable", words, retry=True, after_s=after_s, status=status)
    if status == 404:
        told = f"{words}: {said[:SAID]}; check base_url and model"
        return EndpointError("not_found", told, retry=False, status=status, said=said)
    return EndpointError("refused", f"{words}: {said[:SAID]}", retry=False, status=status, said=said)


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    parameter = f" ({error.param})" if isinstance(error.param, str) else ""
    return " ".join(str(message or error.message).split()) + parameter


def _retry_after(headers: object) -> float | None:
    """Seconds asked for by ``Retry-After``: a number, or an HTTP date; None for none, or none that makes sense."""
    value = headers.get("retry-after") if hasattr(headers, "get") else None
    if not isinstance(value, str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None
