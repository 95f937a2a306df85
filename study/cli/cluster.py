"""`study cluster`: a Ray cluster of several nodes on this machine, for trying things and for tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import rich_click as click

from study.cli.options import json_option, print_json, to_option
from study.errors import StudyError, shorten
from study.places import cluster_folder

if TYPE_CHECKING:
    from study.tuning.nodes import Cluster

MAX_NODES = 64


@click.group()
def cluster() -> None:
    """Start, show and end a cluster of several nodes on this machine; render one for Kubernetes.

    Its ports are reachable from this machine alone, and it takes nothing from anybody who does not show
    its token. Studies are sent to it with `study submit NAME --to ray`.

    \b
    Examples:
      study cluster up --local-nodes 3
      study cluster show
      study cluster down
    """


@cluster.command()
@click.option(
    "--local-nodes",
    type=click.IntRange(1, MAX_NODES),
    default=2,
    show_default=True,
    help="Nodes to start, each some 0.5 GB.",
)
@click.option(
    "--cpus-per-node",
    type=click.IntRange(1, 1024),
    help="What each offers to trials.  [default: an equal share of the machine's, one at least]",
)
@click.option(
    "--warm",
    is_flag=True,
    help="Have PyTorch loaded in the processes that wait for trials, some 0.2 GB for each CPU: the first "
    "`study run --address auto` starts seconds sooner.",
)
@json_option
def up(local_nodes: int, cpus_per_node: int | None, warm: bool, as_json: bool) -> None:
    """Start a cluster: some ten seconds a node. It stays until `study cluster down`.

    \b
    Examples:
      study cluster up
      study cluster up --local-nodes 3 --cpus-per-node 1
      study cluster up --local-nodes 1 --warm
    """
    from study.tuning import nodes

    started = nodes.up(
        cluster_folder(),
        local_nodes,
        cpus_per_node,
        lambda line: click.echo(line, err=True),
        warm=warm,
    )
    if as_json:
        print_json(_facts(started))
        return
    click.echo(f"Ray      {started.address}, dashboard and Jobs API {started.jobs}")
    click.echo(f"token    {started.token_file}")
    click.echo("next     study submit NAME --to ray, then: study cluster down", err=True)


@cluster.command()
@json_option
def show(as_json: bool) -> None:
    """Show the cluster that runs on this machine, node by node.

    \b
    Examples:
      study cluster show
      study cluster show --json
    """
    from study.tuning import nodes

    facts = _facts(nodes.running(cluster_folder()))
    if as_json:
        print_json(facts)
        return
    click.echo(f"Ray      {facts['address']}, dashboard and Jobs API {facts['jobs']}")
    for node in facts["nodes"]:
        click.echo(f"{node['name']}   {'alive' if node['alive'] else 'gone'}, {node['cpus']} CPUs")


@cluster.command()
@json_option
def down(as_json: bool) -> None:
    """End the cluster on this machine with everything that runs on it. Studies go on when they are run or
    submitted again.

    \b
    Examples:
      study cluster down
    """
    from study.tuning import nodes

    ended = nodes.down(cluster_folder())
    if ended is None:
        raise StudyError("no cluster was started on this machine")
    if as_json:
        print_json({"address": ended.address, "nodes": len(ended.nodes)})
    else:
        click.echo(f"the cluster at {ended.address} has ended, {len(ended.nodes)} nodes")


@cluster.command()
@to_option(required=True)
@click.option("--name", default="study", show_default=True, help="What the cluster is called.")
def render(to: str, name: str) -> None:
    """Print the RayCluster of a kuberay target, for `kubectl apply -f -`: one that stays, for many studies.

    \b
    Examples:
      study cluster render --to ./kuberay.toml
      study cluster render --to kuberay --name research
    """
    from importlib.metadata import version

    from study.submission import manifests
    from study.submission.target import KUBERNETES_NAME, KubeRayTarget, load

    there = load(to)
    if not isinstance(there, KubeRayTarget):
        raise StudyError(f"--to {shorten(to)}: must be a target of kind kuberay")
    if not re.fullmatch(KUBERNETES_NAME, name) or len(name) > manifests.MAX_CLUSTER_NAME:
        raise StudyError(
            f"--name: must be at most {manifests.MAX_CLUSTER_NAME} small letters, digits and -, "
            f"not {shorten(name)}"
        )
    click.echo(manifests.as_yaml(manifests.ray_cluster(there, name, version("ray"))), nl=False)


def _facts(started: Cluster) -> dict[str, Any]:
    """What is shown of a cluster: never its token, only where it is."""
    table: dict[str, Any] = started.to_json()
    lives = [node.process() is not None for node in started.nodes]
    table["nodes"] = [{**node, "alive": alive} for node, alive in zip(table["nodes"], lives, strict=True)]
    return table
