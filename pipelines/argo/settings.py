"""`conf/argo/workflow.yml`: what a cluster gives the pipelines, typed."""

from pathlib import Path
from typing import Annotated

import yaml
from msgspec import Meta

from contracts.errors import InputError
from pipelines.parameters import Section, convert

FORMAT = 1
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=1)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$")]


class Schedule(Section, frozen=True):
    """When to train again."""

    cron: Annotated[tuple[str, ...], Meta(min_length=1)]
    timezone: str
    starting_deadline_seconds: Seconds
    suspended: bool = False


class Retry(Section, frozen=True):
    """How often to try again after the cluster's own errors, and how long to wait before."""

    limit: Count
    first_wait: str
    longest_wait: str


class Kept(Section, frozen=True):
    """How long a finished workflow stays, to be looked at."""

    succeeded_seconds: Seconds
    failed_seconds: Seconds


class Pod(Section, frozen=True):
    """What one pipeline may take."""

    cpu: Quantity
    memory: Quantity
    minutes: Count
    gpus: Annotated[int, Meta(ge=0)] = 0


class Pods(Section, frozen=True):
    """`usual` for every pipeline that is not named under `differing`."""

    usual: Pod
    differing: dict[str, Pod] = {}

    def of(self, pipeline: str) -> Pod:
        """What this pipeline may take."""
        return self.differing.get(pipeline, self.usual)


class Settings(Section, frozen=True):
    """The whole document."""

    format: int
    deadline_minutes: Count
    scratch: Quantity
    schedule: Schedule
    retry: Retry
    kept: Kept
    pods: Pods


def load(path: Path) -> Settings:
    """Read the settings; raises InputError with file, key and reason for anything that is missing or wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; it says what a cluster gives the pipelines") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}; correct it there") from error
    settings = convert(document, Settings, str(path))
    if settings.format != FORMAT:
        raise InputError(f"{path}: format: is {settings.format}, this version reads {FORMAT}; correct it there")
    return settings
