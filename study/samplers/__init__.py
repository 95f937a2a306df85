"""The door to Optuna.

search.py         one search per arm: proposes hyperparameters, is told how their trials ended
importance.py     how much each hyperparameter matters
review.py         a record's searches as Optuna's own studies, for its dashboard
distributions.py  a range of ours as Optuna has it
"""

from __future__ import annotations

from study.samplers.search import SAMPLERS, ArmSearch, Sampler, Search, search_inside

__all__ = ["SAMPLERS", "ArmSearch", "Sampler", "Search", "search_inside"]
