"""study ui: MLflow's pages on the studies of this machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType

import rich_click as click

from study import tracking
from study.cli.options import out_option


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 takes a free one."
)
@out_option
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="Another SQLite store: sqlite:///FILE.  [default: OUT/mlflow.db]",
)
@click.option(
    "--open/--no-open", "open_browser", default=False, help="Open the browser as well.  [default: no-open]"
)
def ui(port: int, root: Path, tracking_uri: str | None, open_browser: bool) -> None:
    """Open MLflow's UI on the studies' runs, for this machine alone, until Ctrl-C.

    From another machine, through ssh:  ssh -L 5000:127.0.0.1:5000 THIS-HOST

    \b
    Examples:
      study ui                                the store in ./runs (or STUDY_HOME)
      study ui --out /scratch/runs --open     another one, and the browser
      study ui --port 0                       on any free port
    """
    from study.tracking import server, views

    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or tracking.default_tracking_uri(root)
    artifacts = server.local_store(uri)
    tracking.check(uri)
    port = server.free_port(port)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        click.echo("MLflow is starting (some 10 seconds) ...", err=True)
        with server.mlflow_server(uri, artifacts, port) as running:
            page = views.experiments_page(running.address)
            click.echo(f"MLflow   {page}")
            for place, (name, experiment_id) in enumerate(server.studies(running.address).items()):
                click.echo(f"{name}   {views.view_page(running.address, experiment_id, 'trials')}")
                for question, answer in views.question_pages(running.address, experiment_id).items():
                    if place == 0:  # the youngest; the others' descriptions have their own
                        click.echo(f"  {question}\n    {answer}")
            click.echo("Ctrl-C ends it", err=True)
            if open_browser:
                click.launch(page)
            while running.alive():
                time.sleep(0.5)
            running.complain()
    except KeyboardInterrupt:
        click.echo("ended", err=True)


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
