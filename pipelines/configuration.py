"""Kedro's configuration loader with resolvers of our own, for values of the catalog.

`${installed:package,path/in/package}` is a file that an installed package brings. The package is not imported.
`${conf:base/schema.yml}` is a file of the configuration folder that this run uses (`--conf-source`).
`${venv:VENV_VALIDATE,.venv-validate}` is the Python of another environment: of the one that the variable names, else of
the folder. They are the variables of the Makefile, so that a clone can use the environments of another one.
"""

import os
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from contracts.errors import InputError


class Configuration(OmegaConfigLoader):
    """Kedro's loader; knows these resolvers."""

    def __init__(self, conf_source: str, *args: Any, **kwargs: Any) -> None:
        resolvers: dict[str, Callable[..., Any]] = kwargs.pop("custom_resolvers", None) or {}
        resolvers |= {"installed": installed, "venv": venv, "conf": partial(_in_folder, Path(conf_source))}
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


def venv(variable: str, folder: str) -> str:
    """The interpreter of an environment."""
    return (Path(os.environ.get(variable) or folder) / "bin" / "python").as_posix()


def _in_folder(folder: Path, path: str) -> str:
    return (folder / path).as_posix()
