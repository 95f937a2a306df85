"""The door to MLflow: a projection of the record, which can be made anew at any time.

addresses    which stores there are, and whether one can be used
projection   what MLflow should hold: events to runs; pure
words        what MLflow admits, and how ours is written there; pure
views        descriptions and saved views for the UI; pure
outbox       what of the journal is pending
store        the experiment and the runs in MLflow
machine      what MLflow measures of this machine meanwhile
feeder       bringing the one into the other: once, or alongside a study
audit        whether they agree
fetching     having a record back from MLflow alone
models       a trained network, logged and registered
server       MLflow's UI on this machine; ``site`` is its face
"""

from __future__ import annotations

from study.tracking.addresses import check, default_tracking_uri
from study.tracking.audit import differences, left_running
from study.tracking.feeder import Feeder, Synced, sync
from study.tracking.fetching import Fetched, fetch
from study.tracking.models import Registered, log, logged, register, run_of
from study.tracking.outbox import pending, pending_events

__all__ = [
    "Feeder",
    "Fetched",
    "Registered",
    "Synced",
    "check",
    "default_tracking_uri",
    "differences",
    "fetch",
    "left_running",
    "log",
    "logged",
    "pending",
    "pending_events",
    "register",
    "run_of",
    "sync",
]
