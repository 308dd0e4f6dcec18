"""PyTorch Geometric Temporal without the two compiled packages it asks for.

The library imports ``torch_sparse`` for a single class, in a single model (EvolveGCN) that is not used here, and that
package takes a quarter of an hour to compile. PyTorch Geometric has a stand-in for the class wherever the package is
missing; it is put in the package's place just while the library is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType

_MISSING = "torch_sparse"


def recurrent() -> ModuleType:
    """``torch_geometric_temporal.nn.recurrent``: snapshot graph networks such as ``GConvGRU``.

    Raises ModuleNotFoundError with the way to install it if the library itself is missing.
    """
    name = "torch_geometric_temporal"
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(
            f"{name} is not installed; `make` installs it without its compiled requirements: "
            "pip install --no-deps torch-geometric-temporal"
        )
    # Importing torch_geometric warns of what torch will drop some day; a user can do nothing about it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        stand_in = importlib.util.find_spec(_MISSING) is None
        if stand_in:
            module = ModuleType(_MISSING)
            module.SparseTensor = importlib.import_module("torch_geometric.typing").SparseTensor  # type: ignore[attr-defined]
            sys.modules[_MISSING] = module
        try:
            return importlib.import_module(f"{name}.nn.recurrent")
        finally:
            if stand_in:
                del sys.modules[_MISSING]
