"""Connecting to Ray: a private one on this machine, or the cluster at an address."""

from __future__ import annotations

import importlib
import logging
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from study.errors import StudyError, one_line
from study.places import cluster_folder
from study.private import new_secret
from study.spec import Resources
from study.tuning.head import Head
from study.tuning.nodes import LOOPBACK, MEMORY, SETTINGS, WARM, Cluster, found

# Read by Ray when it is imported or started, so they are set before either.
DRIVER_SETTINGS = SETTINGS | {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # The record is ours: Tune's own result files, snapshots and signal handler are not wanted.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # How many trials wait at once is for the source to say; by Tune's own rule workers start one by one.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
}
# What Ray counts of itself; one of our own has nobody who asks.
UNCOUNTED = {
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",
}
# What NVIDIA's driver, AMD's, and Windows for Linux have there.
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# Ray names the model of a node's GPUs by a resource.
MODEL = "accelerator_type:"


@dataclass(frozen=True)
class Slots:
    """How many trials run at once, and what each may use, of GPUs at the least. ``at_most``: the user's own
    limit; ``elastic``: whether nodes may come and go; ``nodes``: the labels of those that trials run on;
    ``available``: what these had at the start, by Ray's names."""

    concurrent: int
    cpus: int
    gpus: float
    at_most: int | None = None
    elastic: bool = False
    nodes: Mapping[str, str] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)

    def asked_for(self, available: Mapping[str, float]) -> int:
        """How many trials to ask for at once, now that the cluster has so much: one more than there is room
        for. It waits, and an autoscaler sees that there is something to come for."""
        fitting = room(available, self.cpus, self.gpus) + 1
        return min(fitting, self.at_most or fitting)

    @property
    def ahead(self) -> int:
        """How many trials to ask for beyond those that run: one where only the machine's room bounds these.
        Its proposal is made while they train, and whoever ends first goes on with it at once. None where one
        runs at a time, so that such studies repeat exactly; where nodes come and go ``asked_for`` tells."""
        fitting = room(self.available, self.cpus, self.gpus)
        bound = self.at_most is not None and self.at_most <= fitting
        return 0 if bound or self.elastic or fitting < 2 else 1

    @property
    def models(self) -> tuple[str, ...]:
        """The GPUs' models, as far as Ray knows them."""
        return tuple(sorted(name.removeprefix(MODEL) for name in self.available if name.startswith(MODEL)))

    @property
    def on_a_gpu(self) -> int:
        """How many trials can run on each GPU at once, as far as CPUs and the user's limit go."""
        fitting = room(self.available, self.cpus, 0.0)
        return max(1, math.ceil(min(fitting, self.at_most or fitting) / self.available["GPU"]))

    def shared(self, gpus: float) -> Slots:
        """The slots where a trial asks for ``gpus`` and no less."""
        fitting = room(self.available, self.cpus, gpus)
        return replace(self, gpus=gpus, concurrent=min(fitting, self.at_most or fitting))


def own_ray(resources: Resources, debug: bool) -> Head:
    """A Ray of this machine's own, which nobody else reaches. It starts at once, and ends with the driver."""
    protect_token()
    return Head(own_settings(resources), logs=debug)


def own_settings(resources: Resources) -> dict[str, str]:
    """The environment of one of our own and its trials. Its processes import ahead where each of this
    machine's processors, and so each of them, gets a trial: they hold 200 MB from then on, so where GPUs or
    the user bound how many trials run they stay empty."""
    whole = resources.cpus_per_trial == 1 and resources.max_concurrent is None
    warm = whole and not any(Path(each).exists() for each in GPU_DRIVERS)
    return DRIVER_SETTINGS | LOOPBACK | UNCOUNTED | MEMORY | (WARM if warm else {})


@contextmanager
def ray_session(
    address: str | None, resources: Resources, debug: bool, own: Head | None = None
) -> Iterator[Slots]:
    """Ray for the length of a study: the cluster at ``address``, or else a private one: ``own``, if that has
    been started. Raises StudyError where the cluster or its room is not there."""
    if cluster := own_cluster(address):
        address = cluster.address
        os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(cluster.token_file))
    local = (LOOPBACK if on_loopback(address) else {}) | (UNCOUNTED if not address else {})
    for key, value in (DRIVER_SETTINGS | local).items():
        os.environ.setdefault(key, value)
    protect_token()
    with ExitStack() as held:
        if not address and own is None:
            own = held.enter_context(own_ray(resources, debug))
        importlib.import_module("ray.tune")  # takes a second, in which Ray starts
        import ray

        try:
            _connect(address, own, debug)
            yield slots_of(resources_of(resources.nodes), resources, address)
        finally:
            ray.shutdown()
            if own:
                own.stop()


def _connect(address: str | None, own: Head | None, debug: bool) -> None:
    import ray

    where = f"--address {address}" if address else "Ray on this machine"
    there = own.address() if own else address
    try:
        ray.init(
            address=there,
            log_to_driver=debug,
            logging_level=logging.INFO if debug else logging.FATAL,
            configure_logging=debug,
        )
    except Exception as error:
        raise StudyError(f"{where}: cannot be reached: {one_line(str(error))[:200]}") from error


def slots_of(available: Mapping[str, float], resources: Resources, address: str | None) -> Slots:
    """The slots of a cluster that has so much; StudyError where not one trial fits."""
    cpus, gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    where = f"the cluster at {address}" if address else "this machine"
    if resources.nodes:
        labels = ", ".join(f"{key}={value}" for key, value in resources.nodes.items())
        where = f"{where}, of nodes with {labels},"
    if resources.nodes and not available:
        raise StudyError(
            f"resources.nodes: {where} has none of these; leave it out, or give nodes the labels"
        )
    if room(available, resources.cpus_per_trial, 0.0) < 1:
        raise StudyError(
            f"resources.cpus_per_trial: {where} has {cpus:g} CPUs, a trial asks {resources.cpus_per_trial}; "
            "ask less: --set resources.cpus_per_trial=1"
        )
    # A study written for GPUs runs where there are none: training takes the device that is there. What is
    # to be measured has a whole one until it is.
    asked = 1.0 if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    share = asked if gpus else 0.0
    fitting = room(available, resources.cpus_per_trial, share)
    if fitting < 1:
        raise StudyError(
            f"resources.gpus_per_trial: {where} has {gpus:g} GPUs, a trial asks {share:g}; "
            "ask less: --set resources.gpus_per_trial=0.5"
        )
    at_most = resources.max_concurrent
    concurrent = min(fitting, at_most or fitting)
    return Slots(
        concurrent,
        resources.cpus_per_trial,
        share,
        at_most,
        elastic=address is not None,
        nodes=resources.nodes,
        available=available,
    )


def resources_of(labels: Mapping[str, str]) -> Mapping[str, float]:
    """What the cluster's nodes with these labels have now, by Ray's names."""
    import ray

    total = Counter[str]()
    for node in ray.nodes():
        if node["Alive"] and labels.items() <= node["Labels"].items():
            total.update(node["Resources"])
    return total


def room(available: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many trials of so many CPUs and (a share of) GPUs each a cluster holds."""
    fitting = int(available.get("CPU", 0.0) // cpus)
    if gpus:
        there = available.get("GPU", 0.0)
        fitting = min(fitting, int(there // gpus) if gpus >= 1 else int(there) * int(1 / gpus))
    return fitting


def own_cluster(address: str | None) -> Cluster | None:
    """The cluster of `study cluster up`, if it is the one meant: by its address, or by `auto` where no other
    is named."""
    cluster = found(cluster_folder()) if address else None
    meant = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    return cluster if cluster and cluster.alive() and meant in ("auto", cluster.address) else None


def on_loopback(address: str | None) -> bool:
    """Whether Ray is, or is to be, reachable from this machine alone."""
    meant = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    return meant is None or meant.rpartition(":")[0] in ("127.0.0.1", "localhost")


def protect_token() -> None:
    """Make sure the token that guards Ray exists and that nobody else can read it.

    Ray 2.60 makes the file world-readable, so it is made here first.
    """
    if "RAY_AUTH_TOKEN" in os.environ:
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if not path.exists():
        try:
            _make_token(path)
        except OSError as error:
            raise StudyError(
                f"{path}: Ray's token cannot be kept there: {error.strerror}; name another place with "
                "RAY_AUTH_TOKEN_PATH"
            ) from error
    elif path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _make_token(path: Path) -> None:
    """A new token, whole when it appears; where another process was faster, that one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, written = tempfile.mkstemp(dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new_secret())
        with suppress(FileExistsError):
            path.hardlink_to(written)
    finally:
        Path(written).unlink()
