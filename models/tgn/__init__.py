"""The temporal graph network family: encoder, presets, learning on line and in epochs."""

from models.tgn.config import TGNConfig, preset
from models.tgn.encoder import TGN

__all__ = ["TGN", "TGNConfig", "preset"]
