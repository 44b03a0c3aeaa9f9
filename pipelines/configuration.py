"""Kedro's configuration loader with two resolvers of our own, for values of the catalog.

`${installed:package,path/in/package}` is a file that an installed package brings. The package is not imported.
`${conf:base/schema.yml}` is a file of the configuration folder that this run uses (`--conf-source`).
"""

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from contracts.errors import InputError


class Configuration(OmegaConfigLoader):
    """Kedro's loader; knows the two resolvers."""

    def __init__(self, conf_source: str, *args: Any, **kwargs: Any) -> None:
        resolvers: dict[str, Callable[..., Any]] = kwargs.pop("custom_resolvers", None) or {}
        resolvers |= {"installed": installed, "conf": partial(_in_folder, Path(conf_source))}
        # Kedro 1.7 calls OmegaConf's old name for it, which OmegaConf reports to every user of Kedro.
        warnings.filterwarnings("ignore", "register_new_resolver", UserWarning)
        super().__init__(conf_source, *args, custom_resolvers=resolvers, **kwargs)


def installed(package: str, path: str) -> str:
    """The file `path` of the installed `package`; raises InputError when either is not there."""
    found = find_spec(package)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (file := Path(folder) / path).is_file():
            return file.as_posix()
    reason = f"has no {path}" if found else "is not installed"
    raise InputError(
        f"conf/base/catalog.yml: installed: the package {package} {reason}; run `make setup`, or name your own files"
    )


def _in_folder(folder: Path, path: str) -> str:
    return (folder / path).as_posix()
