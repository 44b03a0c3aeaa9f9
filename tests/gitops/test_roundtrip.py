"""Bump, render, revert, render: byte for byte what ran before, in every environment with every strategy.

Argo Rollouts goes back without steps only when the pod template is the same again; the rest of the manifests must be the
same too, or Argo CD would change something else along with it.
"""

import shutil
import subprocess

import pytest
import yaml

from release import kustomize, pin
from tests.gitops.manifests import NEXT, ROOT, RUNS, of_kind, rollout, set_pin
from tests.gitops.variants import ALL, FULL, STRATEGIES, Variant, Workshop, rendered

EVERY_STRATEGY = [*FULL, *(variant for variant in ALL if not variant.extras)]  # with all extras, and with none


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("roundtrip") / "repository")


@pytest.mark.parametrize("variant", EVERY_STRATEGY, ids=str)
def test_a_revert_renders_byte_for_byte_what_ran_before(workshop, variant):
    folder = workshop.put_together(variant)
    found = []
    for value in (RUNS, NEXT, RUNS):
        set_pin(workshop.root, variant.environment, value)
        found.append(kustomize.find().build(folder))
    before, during, after = found
    assert after == before
    changed = [pair for pair in zip(before.splitlines(), during.splitlines(), strict=True) if pair[0] != pair[1]]
    assert changed == [(old, old.replace(str(RUNS), str(NEXT))) for old, _ in changed]
    assert len(changed) == 1


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_every_kustomize_at_hand_renders_the_same(workshop, variant):
    """Argo CD 3.6.1 has 5.8.3, kubectl 1.37 has 5.8.1; a version that is not installed here is not run."""
    folder = str(workshop.put_together(variant))
    commands = [[*command, folder] for command, _ in kustomize.candidates() if shutil.which(command[0])]
    if len(commands) < 2:
        pytest.skip(f"one kustomize here ({commands[0][0]}): nothing to compare it with")
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    assert all(output == outputs[0] for output in outputs)


def test_ci_renders_with_the_kustomize_of_the_argo_cd_that_is_pinned():
    """Where it cannot be had, as here, the test above holds others against each other and never that one."""
    controller = (ROOT / "gitops/platform/controllers/argo-cd/kustomization.yaml").read_text()
    assert "v3.6.1" in controller  # another one has another kustomize: its own sources say which
    workflows = [file.read_text() for file in (ROOT / ".github/workflows").glob("*.yml")]
    assert any("kustomize/v5@v5.8.3" in text and "pytest tests/gitops" in text for text in workflows)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_strategy_is_no_other_version(strategy):
    """So it may be changed while nothing is on its way, and no pod starts anew."""
    basic, chosen = (rollout(rendered(Variant("production", name)))["spec"] for name in ("basic", strategy))
    assert chosen["template"] == basic["template"]
    assert list(chosen["strategy"]) == ["blueGreen" if strategy == "bluegreen" else "canary"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_templates_get_the_arguments_that_they_ask_for(strategy):
    chosen = rendered(Variant("staging", strategy))
    templates = {one["metadata"]["name"]: one["spec"] for one in of_kind(chosen, "AnalysisTemplate")}
    for named, given in analyses(rollout(chosen)["spec"]["strategy"]):
        assert {argument["name"] for name in named for argument in templates[name]["args"]} == given


def analyses(part):
    """Every place that names templates: their names, and the arguments that it gives."""
    if isinstance(part, dict):
        if "templates" in part:
            yield [one["templateName"] for one in part["templates"]], {one["name"] for one in part.get("args", [])}
        for each in part.values():
            yield from analyses(each)
    elif isinstance(part, list):
        for each in part:
            yield from analyses(each)


def test_what_is_promoted_is_named_in_one_place_of_an_environment(workshop):
    """A digest anywhere else would stay behind when the line goes back."""
    set_pin(workshop.root, "production", RUNS)
    environment = workshop.root / "gitops/envs/production"
    holding = [file for file in environment.rglob("*.yaml") if RUNS.digest in file.read_text()]
    assert holding == [workshop.root / pin.path("production")]
    assert yaml.safe_load(holding[0].read_text())["kind"] == "Component"
