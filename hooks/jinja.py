"""What cookiecutter.json and the hooks get from us while they are rendered."""

import os
import sys
from collections.abc import Mapping

from jinja2 import Environment
from jinja2.ext import Extension

from hooks.answers import refusal


class Slipway(Extension):
    """A global, `template_root()`, and a filter, `checked`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Hooks are rendered with the template's checkout as working directory, by cookiecutter and by cruft alike;
        # `cookiecutter._repo_dir` would say the same, but cruft does not know it.
        environment.globals["template_root"] = os.getcwd
        environment.filters["checked"] = checked


def checked(answers: Mapping[str, object]) -> str:
    """Stop with one line when an answer will not do.

    cookiecutter.json renders this behind its last question. The hook before generation comes later: by then
    cookiecutter has made the folder, and a slash in its name has made others above it.
    """
    if line := refusal(answers):
        sys.exit(line)
    return "yes"
