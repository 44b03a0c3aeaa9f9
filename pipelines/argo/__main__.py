"""`make argo`: compile the Kedro pipelines into gitops/workflows/, or check that what is committed there is current."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.io.catalog_config_resolver import DEFAULT_RUNTIME_PATTERN, CatalogConfigResolver

from contracts import atomic
from contracts.errors import InputError
from pipelines.argo import dependencies, manifests, settings
from pipelines.pipeline_registry import DATA, TRAIN, Registry
from pipelines.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

ENVIRONMENT = "argo"
HEADER = "# Compiled by `make argo` from the pipelines and conf/argo/workflow.yml. Change those, not this.\n"


def main(words: list[str] | None = None) -> int:
    """Exit code: 0 when written or current, 1 when `--check` finds something stale, 2 for bad input."""
    arguments = _arguments(words)
    try:
        files = {arguments.output / name: text for name, text in compiled(arguments.conf_source).items()}
        stale = [
            path for path, text in files.items() if not (path.is_file() and path.read_text(encoding="utf-8") == text)
        ]
        if arguments.check:
            for path in stale:
                print(f"{path}: is stale; run `make argo` and commit what it writes", file=sys.stderr)
            return 1 if stale else 0
        for path in stale:
            atomic.write_text(path, files[path])
            print(f"written: {path}")
        if not stale:
            print(f"current: {', '.join(map(str, files))}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def compiled(conf: Path) -> dict[str, str]:
    """The manifests by file name; the same text for the same pipelines and configuration."""
    loader = CONFIG_LOADER_CLASS(str(conf), env=ENVIRONMENT, **CONFIG_LOADER_ARGS)
    registry = Registry()
    pipelines = {name: registry[name] for name in (*DATA, *TRAIN) if name in registry}
    place = conf / ENVIRONMENT
    catalog = CatalogConfigResolver(loader["catalog"], default_runtime_patterns=DEFAULT_RUNTIME_PATTERN)
    dependencies.check_persistent(dependencies.crossings(pipelines), catalog, manifests.VOLUME, str(place))
    waits_for = dependencies.waits_for(pipelines)
    wanted = settings.load(place / "workflow.yml")
    if unknown := sorted(set(wanted.pods.differing) - set(waits_for)):
        raise InputError(
            f"{place}/workflow.yml: pods.differing.{unknown[0]}: no such pipeline; known: {', '.join(waits_for)}"
        )
    model, owner = loader["globals"]["model_name"], loader["globals"]["owner"]
    return {
        "workflowtemplate.yaml": _text(manifests.workflow_template(model, owner, waits_for, wanted)),
        "cronworkflow.yaml": _text(manifests.cron_workflow(model, owner, wanted)),
    }


class _Indented(yaml.SafeDumper):
    """Writes the items of a list further in than its key, as everybody's YAML here."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _text(manifest: Mapping[str, Any]) -> str:
    return HEADER + yaml.dump(manifest, Dumper=_Indented, sort_keys=False, width=float("inf"), allow_unicode=True)


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.argo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a committed file is stale")
    parser.add_argument(
        "--output", type=Path, default=Path("gitops/workflows"), help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--conf-source", type=Path, default=Path("conf"), help="configuration folder (default: %(default)s)"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
