"""What a record shows: rankings, claims and figures, as pure functions of a study and its results."""

from __future__ import annotations
