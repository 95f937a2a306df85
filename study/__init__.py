"""Distributed hyperparameter studies that say which is better, and whether it really is."""

from __future__ import annotations

__version__ = "0.1.0"
