"""Components of a user's own packages: found through Python entry points, loaded when they are named.

A package that has in its pyproject.toml

    [project.entry-points."study.activations"]
    squareplus = "my_package.activations:SQUAREPLUS"

adds an entry to a table: the object is what stands in the tables of study/components, here a
study.components.activations.Activation. Nothing of it is imported until a study names it. A name of the
package's own tables always means the entry there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from study.errors import StudyError, one_line, shorten


@dataclass(frozen=True)
class Installed:
    """A component that an installed package offers."""

    name: str
    package: str
    version: str
    entry_point: EntryPoint


def offered(noun: str) -> dict[str, tuple[Installed, ...]]:
    """What the installed packages offer to the table of ``noun``, by name, sorted; nothing is imported.
    More than one where packages offer the same name."""
    return _offered(GROUPS[noun], tuple(sys.path)) if noun in GROUPS else {}


@cache
def _offered(group: str, path: tuple[str, ...]) -> dict[str, tuple[Installed, ...]]:
    """``path`` is where packages are looked for; metadata on it is read once."""
    found: dict[str, list[Installed]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
        found.setdefault(point.name, []).append(Installed(point.name, package, version, point))
    return {name: tuple(each) for name, each in found.items()}


def loaded(noun: str, name: str, kind: type) -> object:
    """The object behind an offered name, of the ``kind`` that the table has.

    Raises StudyError, in one line, where it cannot be imported, is something else, goes by another name, or
    is offered by several packages.
    """
    several = offered(noun)[name]
    if len(several) > 1:
        packages = " and ".join(each.package for each in several)
        raise StudyError(f"{noun} {name}: {packages} both offer it; uninstall one of them")
    (one,) = several
    place = f"{noun} {name} (of {one.package} {one.version}, {one.entry_point.value})"
    try:
        entry = one.entry_point.load()
    except Exception as error:  # whatever a package's import raises
        reason = one_line(f"{type(error).__name__}: {error}")
        raise StudyError(f"{place}: cannot be imported: {reason}; mend or uninstall {one.package}") from error
    if not isinstance(entry, kind):
        wanted = f"{kind.__module__}.{kind.__qualname__}"
        raise StudyError(f"{place}: must be a {wanted}, not a {type(entry).__qualname__}")
    own = getattr(entry, "name", name)
    if own != name:
        raise StudyError(f"{place}: calls itself {shorten(own)}; offer it by that name")
    return entry


# By what a table's entries are called (study.registry.Registry).
GROUPS = {
    "activation": "study.activations",
    "loss": "study.losses",
    "model": "study.models",
    "optimizer": "study.optimizers",
    "schedule": "study.schedules",
    "metric": "study.metrics",
    "data set": "study.datasets",
}
