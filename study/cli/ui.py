"""study ui: MLflow's pages, or Optuna's, on the studies of this machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from socketserver import ThreadingMixIn
from types import FrameType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import rich_click as click

from study import tracking
from study.cli import completing
from study.cli.options import out_option, tracking_uri_option
from study.errors import StudyError, TrackingError
from study.processes import HOST
from study.record import StudyRecord, folders
from study.registry import nearest


@click.command()
@click.argument("name", metavar="[NAME]", required=False, shell_complete=completing.records)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--optuna",
    is_flag=True,
    help="Optuna's dashboard on the searches instead; asks for pip install 'study-service[optuna]'.",
)
@out_option
@tracking_uri_option("Another SQLite store: sqlite:///FILE.  [default: OUT/mlflow.db]")
@click.option(
    "--open/--no-open", "open_browser", default=False, help="Open the browser as well.  [default: no-open]"
)
def ui(
    name: str | None, port: int, optuna: bool, root: Path, tracking_uri: str | None, open_browser: bool
) -> None:
    """Open MLflow's UI on the studies' runs (or on one study's), for this machine alone, until Ctrl-C.

    With --optuna: Optuna's dashboard on what the samplers were told, an arm a study, made from the records
    as they are now. From another machine, through ssh:  ssh -L 5000:127.0.0.1:5000 THIS-HOST

    \b
    Examples:
      study ui                                the store in ./runs (or STUDY_HOME)
      study ui cifar10-acts --open            one study, in the browser
      study ui --out /scratch/runs            another store
      study ui --port 0                       on any free port
      study ui cifar10-acts --optuna          Optuna's dashboard on its newest record
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish
            signal.signal(number, stop)
    try:
        if optuna:
            show_searches(name, root, port, open_browser)
        else:
            show_runs(name, root, port, tracking_uri, open_browser)
    except KeyboardInterrupt:
        click.echo("ended", err=True)


def show_runs(name: str | None, root: Path, port: int, tracking_uri: str | None, open_browser: bool) -> None:
    """MLflow's pages: with a study's name its trials, else the list of all."""
    from study.tracking import server, views

    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or tracking.default_tracking_uri(root)
    artifacts = server.local_store(uri)
    tracking.check(uri)
    port = server.free_port(port)
    click.echo("MLflow is starting (some 10 seconds) ...", err=True)
    with server.mlflow_server(uri, artifacts, port) as running:
        found = server.studies(running.address)
        if name is not None:
            study = name.partition("@")[0]
            if study not in found:
                raise TrackingError(f"{uri}: has no study {study}; {nearest(study, found)}")
            found = {study: found[study]}
        pages = [views.view_page(running.address, number, "trials") for number in found.values()]
        first = pages[0] if name is not None else views.experiments_page(running.address)
        click.echo(f"MLflow   {views.experiments_page(running.address)}")
        for place, ((study, experiment_id), page) in enumerate(zip(found.items(), pages, strict=True)):
            click.echo(f"{study}   {page}")
            for question, answer in views.question_pages(running.address, experiment_id).items():
                if place == 0:  # the youngest; the others' descriptions have their own
                    click.echo(f"  {question}\n    {answer}")
        click.echo("Ctrl-C ends it", err=True)
        if open_browser:
            click.launch(first)
        while running.alive():
            time.sleep(0.5)
        running.complain()


def show_searches(name: str | None, root: Path, port: int, open_browser: bool) -> None:
    """Optuna's dashboard on a record's searches, or on those of every study's newest record."""
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise StudyError(
            "study ui --optuna: optuna-dashboard is not here; pip install 'study-service[optuna]'"
        ) from error
    from study.samplers.review import review
    from study.tracking.server import free_port

    names = [name] if name else sorted({folder.parent.name for folder in folders(root, "*")})
    if not names:
        raise StudyError(f"{root}: holds no record; run a study first, or name its --out")
    storage = review(StudyRecord.latest(root, each) for each in names)
    port = free_port(port)
    with make_server(HOST, port, wsgi(storage), ThreadingServer, QuietHandler) as serving:
        address = f"http://{HOST}:{port}/dashboard"
        click.echo(f"Optuna   {address}")
        click.echo("Ctrl-C ends it", err=True)
        if open_browser:
            click.launch(address)
        serving.serve_forever()


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A page asks for many things at once."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Requests are not told one by one."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name in the standard library
        pass


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
