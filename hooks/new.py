"""`make new`: a repository for another model, generated from this working tree.

Without a name it asks the questions of cookiecutter.json; with one it takes the defaults for what is not given.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[1]
QUESTIONS = {"name": "model_name", "slug": "repo_slug", "owner": "github_owner", "image": "image", "team": "owner_team"}

NEXT = """\
Generated {folder}

What to do next:
  cd {folder}
  git init -b main && git add -A && git commit -m "Generated from the template"
  make test     # sets up its environments first, then tests what was generated
  make demo     # the whole way on the reference data: train, gate, serve, promote, roll back
Its README.md says how to bring in your own table.
"""


def main() -> int:
    """Exit code: 0 for a new repository, 2 with one line for a wrong answer or place."""
    arguments = parsed()
    answers = {key: value for option, key in QUESTIONS.items() if (value := getattr(arguments, option))}
    if answers and "model_name" not in answers:
        print("make new: NAME: is missing; give NAME=... with the other answers, or none to be asked", file=sys.stderr)
        return 2
    try:
        folder = cookiecutter(
            str(TEMPLATE), no_input=bool(answers), extra_context=answers or None, output_dir=arguments.output
        )
    except SystemExit as stop:  # an answer was refused; the line says which and why
        print(f"make new: {stop.code}", file=sys.stderr)
        return 2
    except (CookiecutterException, OSError) as error:
        print(f"make new: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(NEXT.format(folder=shlex.quote(str(folder))))
    return 0


def parsed() -> argparse.Namespace:
    """The command line; what an option is for is what cookiecutter would ask."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))["__prompts__"]
    parser = argparse.ArgumentParser(prog="python -m hooks.new", description=__doc__)
    parser.add_argument("--output", default="..", help="folder in which the repository's folder is made (default: ..)")
    for option, key in QUESTIONS.items():
        parser.add_argument(f"--{option}", default="", help=questions[key])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
