import re
import shutil

import pytest
import yaml

from release import pin, render
from release.cli import main
from tests.gitops.manifests import (
    ENVIRONMENTS,
    IMAGE,
    NEXT,
    ROOT,
    RUNS,
    copy,
    documents,
    of_kind,
    rollout,
    server,
    set_pin,
)

BUDGETS = "conf/base/budgets.yml"


@pytest.fixture
def gitops(tmp_path):
    return copy(tmp_path / "repository")


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_rendered_image_changes_with_the_line_and_nothing_else_does(gitops, environment):
    set_pin(gitops, environment, RUNS)
    before = render.manifests(gitops, environment)
    set_pin(gitops, environment, NEXT)
    after = render.manifests(gitops, environment)
    assert f"image: {IMAGE}:{NEXT}\n" in after
    assert after == before.replace(str(RUNS), str(NEXT))
    assert before.count(str(RUNS)) == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_reverted_line_renders_byte_for_byte_what_ran_before(gitops, environment):
    set_pin(gitops, environment, RUNS)
    before = render.manifests(gitops, environment)
    for value in (NEXT, RUNS):
        set_pin(gitops, environment, value)
    assert render.manifests(gitops, environment) == before


def test_environments_do_not_move_with_each_other(gitops):
    before = {environment: render.manifests(gitops, environment) for environment in ENVIRONMENTS}
    set_pin(gitops, "staging", NEXT)
    assert render.manifests(gitops, "production") == before["production"]
    assert render.manifests(gitops, "staging") != before["staging"]


def test_as_a_kustomization_the_line_would_change_nothing_without_a_word(gitops):
    """The trap that `kind: Component` is there for; `release` refuses such a file (tests/release)."""
    file = gitops / pin.path("staging")
    set_pin(gitops, "staging", NEXT)
    edit(file, "kind: Component", "kind: Kustomization")
    edit(file, "kustomize.config.k8s.io/v1alpha1", "kustomize.config.k8s.io/v1beta1")
    environment = gitops / "gitops/envs/staging/kustomization.yaml"
    document = yaml.safe_load(environment.read_text())
    document["components"].remove("release")
    document["resources"].append("release")
    environment.write_text(yaml.safe_dump(document))
    manifests = render.manifests(gitops, "staging")
    assert str(NEXT) not in manifests
    assert "image: model-server\n" in manifests


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_that_runs_nothing_renders_without_a_digest(gitops, environment):
    rendered = documents(gitops / "gitops/envs" / environment)
    assert server(rendered)["image"] == f"{IMAGE}:none"
    assert "sha256" not in server(rendered)["image"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_in_the_repository_is_one_line_and_a_component(environment):
    """Whatever runs today: the release file says it in the form that release/ reads."""
    file = ROOT / pin.path(environment)
    pin.read(file.read_bytes(), str(file))
    assert rollout(documents(ROOT / "gitops/envs" / environment))


def test_every_environment_has_exactly_one_strategy_component_and_its_own_release():
    for environment in ENVIRONMENTS:
        folder = ROOT / "gitops/envs" / environment
        components = yaml.safe_load((folder / "kustomization.yaml").read_text())["components"]
        assert len([c for c in components if re.search(r"/strategy-[a-z]+$", c)]) == 1
        assert components[-2:] == ["derived", "release"]


def test_names_are_neither_prefixed_nor_hashed():
    """kustomize does not follow names into a Rollout."""
    for file in (ROOT / "gitops").rglob("kustomization.yaml"):
        text = file.read_text()
        assert not re.search(
            r"^(namePrefix|nameSuffix|configMapGenerator|secretGenerator|commonAnnotations):", text, re.M
        )


# what follows from the budgets


def test_gitops_says_what_the_budgets_say():
    assert render.stale(ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "value"),
    [
        ("endpoint_lag_seconds: 5", "endpoint_lag_seconds: 7", ("lifecycle", "preStop", "sleep", "seconds"), 7),
        ("memory: 512Mi", "memory: 1Gi", ("resources", "limits", "memory"), "1Gi"),
        ('cpu: "1"', 'cpu: "2"', ("resources", "requests", "cpu"), "2"),
    ],
)
def test_a_budget_that_changes_makes_gitops_stale_until_it_is_written_again(gitops, capsys, old, new, path, value):
    where = ["--repository", str(gitops)]
    assert main(["render", "--check", *where]) == 0
    edit(gitops / BUDGETS, old, new)
    before = {file: file.read_bytes() for file in (gitops / "gitops").rglob("*.yaml")}
    assert main(["render", "--check", *where]) == 1
    said = capsys.readouterr().out
    for environment in ENVIRONMENTS:
        assert f"envs/{environment}/derived/kustomization.yaml: is not what the budgets say" in said
    assert {file: file.read_bytes() for file in (gitops / "gitops").rglob("*.yaml")} == before
    assert main(["render", *where]) == 0
    assert main(["render", "--check", *where]) == 0
    found = server(documents(gitops / "gitops/envs/production"))
    for key in path:
        found = found[key]
    assert found == value


def test_what_somebody_edits_by_hand_in_a_generated_file_is_seen_and_put_back(gitops):
    file = gitops / "gitops/envs/production/derived/kustomization.yaml"
    assert "edit that file, not this one" in file.read_text().splitlines()[0]
    edit(file, "value: 2", "value: 20")
    assert render.stale(gitops) == [file]
    file.unlink()
    assert render.stale(gitops) == [file]
    assert render.write(gitops) == [file]
    assert render.stale(gitops) == []


def test_what_nothing_generates_is_seen_and_removed(gitops):
    """What was derived once, and is not any more, would go on being applied."""
    left = gitops / "gitops/envs/staging/derived/analysis/left-over.yaml"
    left.write_text("kind: AnalysisTemplate\n")
    assert render.stale(gitops) == [left]
    assert render.write(gitops) == [left]
    assert not left.exists()
    assert render.stale(gitops) == []


def test_every_derived_file_says_that_it_is(gitops):
    for path, text in render.derived(gitops).items():
        assert "edit that file, not this one" in text.splitlines()[0], path
        assert text.endswith("\n")
        assert not re.search(r"[ \t]$", text, re.MULTILINE), path


def test_derived_files_repeat_whose_the_environment_is(gitops):
    """Nothing in code says it: a generated repository renders its own."""
    edit(gitops / "gitops/envs/staging/kustomization.yaml", "namespace: ", "namespace: another-")
    edit(gitops / "gitops/base/kustomization.yaml", "owner: ", "owner: other-")
    render.write(gitops)
    template = (gitops / "gitops/envs/staging/derived/analysis/slo.yaml").read_text()
    assert "    owner: other-" in template
    assert set(re.findall(r'namespace="([^"]*)"', template)) == {
        yaml.safe_load((gitops / "gitops/envs/staging/kustomization.yaml").read_text())["namespace"]
    }


def test_draining_and_the_grace_period_come_from_one_block(gitops):
    edit(gitops / BUDGETS, "in_flight_seconds: 10", "in_flight_seconds: 40")
    render.write(gitops)
    rendered = documents(gitops / "gitops/envs/production")
    assert server(rendered)["args"][-2:] == ["--drain-seconds=2", "--in-flight-seconds=40"]
    assert rollout(rendered)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 40 + 5


@pytest.mark.parametrize(
    ("throughput", "each", "least", "replicas"), [(200, 150, 1, 2), (300, 150, 1, 2), (301, 150, 1, 3), (10, 150, 2, 2)]
)
def test_replicas_carry_what_is_promised_and_are_never_below_the_minimum(gitops, throughput, each, least, replicas):
    document = yaml.safe_load((gitops / BUDGETS).read_text())
    document["service"]["throughput_rps"] = throughput
    document["scaling"] |= {"requests_per_second_per_replica": each, "minimum_replicas": least}
    document["environments"] = {environment: {} for environment in ENVIRONMENTS}
    (gitops / BUDGETS).write_text(yaml.safe_dump(document))
    render.write(gitops)
    (autoscaler,) = of_kind(documents(gitops / "gitops/envs/production"), "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["minReplicas"] == replicas


def test_environments_may_differ(gitops):
    document = yaml.safe_load((gitops / BUDGETS).read_text())
    document["environments"]["staging"] = {"scaling": {"memory": "256Mi"}}
    (gitops / BUDGETS).write_text(yaml.safe_dump(document))
    render.write(gitops)
    assert server(documents(gitops / "gitops/envs/staging"))["resources"]["limits"]["memory"] == "256Mi"
    assert server(documents(gitops / "gitops/envs/production"))["resources"]["limits"]["memory"] == "512Mi"


# bad input


def _no_gitops(root):
    shutil.rmtree(root / "gitops")


def _no_budgets(root):
    (root / BUDGETS).unlink()


def _wrong_budget(root):
    edit(root / BUDGETS, "endpoint_lag_seconds: 5", "endpoint_lag_seconds: soon")


def _nobody_s(root):
    edit(root / "gitops/base/kustomization.yaml", "owner: ", "owned: ")


def _no_namespace(root):
    edit(root / "gitops/envs/staging/kustomization.yaml", "namespace: ", "name: ")


def _unknown_environment(root):
    shutil.copytree(root / "gitops/envs/staging", root / "gitops/envs/qa")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_no_gitops, "holds no environment"),
        (_no_budgets, "budgets.yml: "),
        (_wrong_budget, "drain.endpoint_lag_seconds: Expected `int`"),
        (_unknown_environment, "environments.qa: is not there"),
        (_nobody_s, "gitops/base/kustomization.yaml: labels: owner is missing"),
        (_no_namespace, "gitops/envs/staging/kustomization.yaml: namespace: is missing"),
    ],
)
def test_what_cannot_be_derived_is_one_line(gitops, capsys, damage, reason):
    damage(gitops)
    assert main(["render", "--repository", str(gitops)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.splitlines()) == 1


def test_what_kustomize_refuses_is_one_line(gitops, capsys):
    edit(gitops / "gitops/base/kustomization.yaml", "- services.yaml", "- servicess.yaml")
    assert main(["render", "staging", "--repository", str(gitops)]) == 2
    error = capsys.readouterr().err
    assert "servicess.yaml" in error
    assert len(error.splitlines()) == 1
    assert main(["render", "qa", "--repository", str(gitops)]) == 2
    assert "is no environment; known: production, staging" in capsys.readouterr().err


def test_render_prints_manifests_and_nothing_else(gitops, capsys):
    set_pin(gitops, "staging", RUNS)
    assert main(["render", "staging", "--repository", str(gitops)]) == 0
    printed = capsys.readouterr()
    assert printed.out == render.manifests(gitops, "staging")
    assert printed.err == ""
