"""The temporal graph network family: encoder, presets, learning on line and in epochs."""

from models.tgn.config import TGNConfig, preset
from models.tgn.encoder import TGN
from models.tgn.fit import Fitted, fit

__all__ = ["TGN", "Fitted", "TGNConfig", "fit", "preset"]
