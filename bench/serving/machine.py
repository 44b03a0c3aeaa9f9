"""What was measured with: the machine, the versions, the size of each environment."""

import datetime as dt
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench.serving import contestants
from bench.serving.environments import Environment


class Machine(Struct, frozen=True):
    """Facts for whoever reads the figures. Megabytes by contestant; load is that before the first round."""

    when: str
    processor: str
    cores: int
    system: str
    load: float
    versions: dict[str, str]
    site_packages: dict[str, float]


def describe(environments: Mapping[str, Environment | None], load: float) -> Machine:
    """The machine that this runs on, and the environments of the contestants by their names."""
    there = {name: environment for name, environment in environments.items() if environment}
    variants = {"ours-unbatched", "ours-workers"}  # in the same environment as ours
    return Machine(
        when=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        load=load,
        versions=contestants.versions(there),
        site_packages={name: each.megabytes for name, each in there.items() if name not in variants},
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
