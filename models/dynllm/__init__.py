"""DynLLM: facets of a user's profile joined to the temporal graph embedding by distilled attention."""

from models.dynllm.config import DynLLMConfig
from models.dynllm.model import DynLLM

__all__ = ["DynLLM", "DynLLMConfig"]
