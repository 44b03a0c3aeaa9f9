"""Refuses wrong answers that cookiecutter.json's own check did not see: those of a replayed answers file."""

import json
import sys

null, true, false = None, True, False
# JSON writes a character outside the basic plane as two surrogates, which only a JSON reader puts together again.
ROOT, ANSWERS = json.loads(json.dumps([{{template_root() | jsonify}}, {{cookiecutter | jsonify}}]))  # noqa: F821

sys.path.insert(0, ROOT)
from hooks.answers import refusal  # noqa: E402

if line := refusal(ANSWERS):
    sys.exit(line)
