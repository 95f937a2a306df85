"""A trained network in MLflow: logged with its trial's run, registered, found again by an alias.

Written by torch.export, so nothing is pickled, and loading it asks for torch alone:

    mlflow.pytorch.load_model("models:/cifar10-acts.relu+bn@best")
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.errors import TrackingError
from study.record import StudyRecord
from study.tracking.addresses import redacted
from study.tracking.store import Store, dressed, load_mlflow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

# Beside the trial's other artifacts, and in MLflow's list of logged models.
ARTIFACT = "model"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model, and the address by which it is loaded."""

    model: str
    version: str
    alias: str
    address: str


def run_of(record: StudyRecord, uri: str, trial: str) -> str:
    """The id of a trial's run. TrackingError where the store is not there, or has no such run."""
    runs = Store(record, uri, look_only=True).found().get(trial)
    if not runs:
        raise TrackingError(
            f"{redacted(uri)}: has no run of {trial}; bring it there: study sync {record.name}"
        )
    return str(runs[0].info.run_id)


def logged(uri: str, run_id: str, tag: str, values: Collection[str]) -> tuple[str, str] | None:
    """A model that is logged with a trial's run, and whose ``tag`` has one of ``values``: its id and that
    value. None without."""
    with dressed(uri):
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        outputs = client.get_run(run_id).outputs
        ids = [each.model_id for each in outputs.model_outputs] if outputs else []
        found = [client.get_logged_model(each) for each in ids]
    ready = [each for each in found if each.status == "READY" and each.tags.get(tag) in values]
    return (str(ready[0].model_id), str(ready[0].tags[tag])) if ready else None


def log(
    uri: str, run_id: str, network: nn.Module, example: NDArray[np.float32], facts: Mapping[str, str]
) -> str:
    """Log ``network`` with a trial's run; the model's id. ``example`` is a batch of two inputs or more, from
    which the signature is taken (any number of rows); ``facts`` become the model's tags. TrackingError where
    the store does not take it.
    """
    with dressed(uri), current_store(uri):
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        # Said here, or else it would stand in the default experiment, and its files in the current folder.
        experiment = client.get_run(run_id).info.experiment_id
        entry = client.create_logged_model(experiment, name=ARTIFACT, source_run_id=run_id, tags=dict(facts))
        _write(run_id, entry.model_id, network, example)
        return str(entry.model_id)


def register(uri: str, model_id: str, *, model: str, alias: str, facts: Mapping[str, str]) -> Registered:
    """Make a logged model a new version of the registered ``model`` that ``alias`` then points to; ``facts``
    become the version's tags. TrackingError where the store does not take it.
    """
    with dressed(uri), current_store(uri):
        import mlflow
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        version = str(mlflow.register_model(f"models:/{model_id}", model, tags=dict(facts)).version)
        client.set_registered_model_alias(model, alias, version)
    return Registered(model, version, alias, f"models:/{model}@{alias}")


def _write(run_id: str, model_id: str, network: nn.Module, example: NDArray[np.float32]) -> None:
    load_flavors()
    import mlflow.pytorch
    import torch
    from mlflow.models import Model, infer_signature

    with torch.inference_mode():
        outputs = network(torch.from_numpy(example)).numpy()
    Model.log(
        artifact_path=None,
        name=ARTIFACT,
        flavor=mlflow.pytorch,
        run_id=run_id,
        model_id=model_id,
        pytorch_model=network,
        signature=infer_signature(example, outputs),
        input_example=example,
        serialization_format="pt2",
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
    )


def load_flavors() -> None:
    """Import what MLflow loads when a model is logged: 3.17 then warns of type hints of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred", UserWarning)
        importlib.import_module("mlflow.pyfunc")


@contextmanager
def current_store(uri: str) -> Iterator[None]:
    """MLflow's process-wide store is the one at ``uri``, and afterwards what it was; its registry goes along,
    unless somebody has set another one."""
    load_mlflow()
    import mlflow

    # Not get_tracking_uri(), which names the default where none is set: set, that would hold for good.
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type] # None forgets it, variable and all
