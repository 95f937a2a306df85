"""The `study` command: its subcommands, and what becomes of errors."""

from __future__ import annotations

import ast
import importlib
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

import rich_click as click
from click.exceptions import Abort, Exit

import study
from study.errors import StudyError, StudyInterrupted, StudyUnfinished, one_line, shorten
from study.registry import nearest

OK, UNFINISHED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

# Each name with the module that holds it: a module is imported only when its command is asked for.
COMMANDS = {
    "list": "studies",
    "show": "studies",
    "check": "studies",
    "init": "init",
    "schema": "studies",
    "facts": "facts",
    "vc-validity": "vc_validity",
    "components": "components",
    "plan": "plan",
    "run": "run",
    "trial": "trial",
    "status": "status",
    "why": "why",
    "report": "report",
    "compare": "compare",
    "clean": "clean",
    "export": "export",
    "audit": "audit",
    "data": "data",
    "ui": "ui",
    "sync": "sync",
    "submit": "submit",
    "logs": "submitted",
    "stop": "submitted",
    "cluster": "cluster",
    "service": "service",
    "fetch": "fetch",
    "promote": "promote",
    "doctor": "doctor",
}


class Commands(click.RichGroup):
    """The subcommands, imported when they are needed; their list needs no more than what their docstrings
    begin with, which is read without importing them."""

    _listing = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            raise click.UsageError(f"there is no command {shorten(name)}; {nearest(name, COMMANDS)}", ctx)
        module = COMMANDS[name]
        attribute = f"{name}_command" if name in ("list", "run") else name.replace("-", "_")
        if self._listing:
            return click.RichCommand(name=name, help=docstring(module, attribute))
        command: click.Command = getattr(importlib.import_module(f"study.cli.{module}"), attribute)
        return command

    def format_help(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def docstring(module: str, function: str) -> str:
    """The docstring of a command in one of the modules beside this one, from its source."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return ast.get_docstring(found) or ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(study.__version__, prog_name="study")
@click.option("--debug", is_flag=True, help="Show tracebacks, and what Ray and MLflow say. Works anywhere.")
def cli(debug: bool) -> None:
    """Hyperparameter studies that say which is better, and whether it really is.

    A study file names what is compared; every arm is tuned on an equal budget, its best is retrained
    on fresh seeds shared by all arms, and the ranking comes from those alone.

    \b
    Examples:
      study list                                 the studies that come with the package
      study run cifar10-acts --profile demo      run one, in three minutes, without a download
      study run ./mine.toml                      run your own
      study report cifar10-acts                  the ranking and where the report is
      eval "$(_STUDY_COMPLETE=bash_source study)"   completes commands, studies and records (or zsh, fish)
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. The user's mistakes are one line on standard error."""
    debug = "--debug" in arguments
    if debug:
        os.environ["STUDY_DEBUG"] = "1"
    try:
        outcome = cli.main([each for each in arguments if each != "--debug"], "study", standalone_mode=False)
        return outcome if isinstance(outcome, int) else OK
    except Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _say(error, MISTAKE, debug, _usage(error))
    except StudyError as error:
        return _say(error, MISTAKE, debug, one_line(str(error)))
    except StudyUnfinished as error:
        return _say(error, UNFINISHED, debug, str(error))
    except StudyInterrupted as error:
        return _say(error, INTERRUPTED, debug, str(error))
    except (KeyboardInterrupt, Abort) as error:
        return _say(error, INTERRUPTED, debug, "interrupted; run the same command again to go on")
    except SystemExit:
        # rich-click leaves so after the help of a group without a command, and where whoever read our
        # output has had enough (`study list | head`). Neither is an error.
        return OK


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    where = f"; see: {context.command_path} --help" if context else ""
    return one_line(error.format_message()).rstrip(".") + where


def _say(error: BaseException, code: int, debug: bool, text: str) -> int:
    if debug:
        traceback.print_exception(error)
    click.echo(f"study: {text}", err=True)
    return code
