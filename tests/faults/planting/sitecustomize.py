"""Plants activations that break, in every process that has this folder on PYTHONPATH.

Python imports a module of this name as it starts, in Ray's workers too. The activations are added to the
table when that is imported, so nothing else is loaded early.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TABLE = "study.components.activations"


class Finder(MetaPathFinder):
    """Finds the table's module once, as everybody else would, and plants in it once it is there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != TABLE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = Planting(spec.loader)
        return spec


class Planting(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        from tests.faults.planted import plant

        plant(module)


sys.meta_path.insert(0, Finder())
