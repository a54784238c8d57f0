"""Companion package of the book on the fundamental limits of two-layer autoencoders.

Each submodule is one idea of the book and is imported on first use, so that
``import aetutor`` is instant and :mod:`aetutor.limits` never loads PyTorch.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

_SUBMODULES = (
    "activations",
    "assignments",
    "descent",
    "encoders",
    "experiments",
    "explore",
    "limits",
    "plotting",
    "reproduce",
    "risk",
    "sgd",
    "sources",
    "spectrum",
    "sweep",
    "trajectory",
)
__all__ = [*_SUBMODULES, "__version__"]


def __getattr__(name: str) -> _Any:
    if name in _SUBMODULES:
        return _import_module(f"aetutor.{name}")
    raise AttributeError(f"module 'aetutor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
