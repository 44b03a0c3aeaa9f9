"""Kedro's `run`, with our manners: what the user can mend is one line and exit code 2, a bug keeps its trace."""

import os
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click
from kedro.config import MissingConfigException
from kedro.framework.cli import project
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.startup import ProjectMetadata
from kedro.io import DatasetError
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from contracts.errors import InputError
from pipelines.interruption import Interruption

PACKAGE = Path(__file__).parent
BY_KEDRO = (ValueError, KeyError, DatasetError, MissingConfigException, OmegaConfBaseException, YAMLError)
SCAFFOLD = ("cli.py", "configuration.py", "pipeline_registry.py")  # of ours, but before anything of ours runs
INTERRUPTED = 130  # 128 + SIGINT, what a shell expects


class Run(click.Command):
    """`kedro run`, from the project's root wherever it was called, and quiet about mistakes that are not ours."""

    def invoke(self, context: click.Context) -> Any:
        if isinstance(context.obj, ProjectMetadata):
            os.chdir(context.obj.project_path)  # relative paths in conf/ are meant from here
        interruption = Interruption()
        try:
            return super().invoke(context)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            interruption.taken()
            stop()
        except Exception as error:
            interruption.taken()
            if interruption.came:  # DuckDB makes an error of its own of an interruption
                stop()
            line = one_line(error)
            if line is None:
                raise
            click.echo(line, err=True)
            raise SystemExit(2) from None


def one_line(error: BaseException) -> str | None:
    """The line that explains a mistake of the user's, or None when the error is a bug of ours.

    An InputError anywhere in the chain says it itself. Errors that Kedro or the configuration's reader raise before
    any code of ours runs are about the command or a file in conf/: an unknown pipeline, node, dataset, a broken YAML.
    """
    for link in chain(error):
        if isinstance(link, InputError):
            return str(link)
    if isinstance(error, BY_KEDRO) and not _ours(error):
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
        return f"kedro run: {reason}; see `kedro run --help`, `kedro registry list` and conf/base"
    missing = next((link for link in chain(error) if isinstance(link, FileNotFoundError)), None)
    if isinstance(error, DatasetError) and missing is not None and missing.filename:
        return f"{missing.filename}: is not there; run the pipeline that makes it first, or the whole one: `kedro run`"
    return None


def chain(error: BaseException | None) -> list[BaseException]:
    """The error and what caused it, outermost first."""
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def close_tracking(status: str) -> None:
    """Tell MLflow how the run ended when no hook can: Kedro has none for an interruption."""
    from pipelines.settings import HOOKS
    from pipelines.tracking import Tracking

    for hook in HOOKS:
        if isinstance(hook, Tracking):
            hook.end(status)


def _ours(error: BaseException) -> bool:
    frames = [frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__)]
    files = {Path(frame.f_code.co_filename) for frame in frames}
    return any(PACKAGE in file.parents and file.name not in SCAFFOLD for file in files)


def stop() -> NoReturn:
    """Say that the run was interrupted, to MLflow too, and leave."""
    close_tracking("KILLED")
    click.echo("interrupted; what was finished is kept, run the same command to go on", err=True)
    raise SystemExit(INTERRUPTED) from None


@click.group(context_settings=CONTEXT_SETTINGS, name="pipelines")
def cli() -> None:
    """Commands of this project, beside Kedro's own."""


run = Run(
    name="run",
    callback=project.run.callback,
    params=project.run.params,
    help=project.run.help,
)
cli.add_command(run)
