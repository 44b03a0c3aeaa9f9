"""The files in .github/settings: what they say about this repository, and what a mistake in them is told as."""

import json
import re

import pytest
import yaml

from contracts.errors import InputError
from release.github.settings import load
from tests.setup.conftest import ROOT

FOLDER = ".github/settings"


@pytest.fixture(scope="module")
def ours():
    return load(ROOT)


def ruleset(settings, name):
    return next(each for each in settings.rulesets if each.name == name)


def rule(settings, name, kind):
    return next(each.parameters for each in ruleset(settings, name).rules if each.type == kind)


def test_nobody_passes_by_the_gate(ours):
    gate = rule(ours, "main", "required_status_checks")["required_status_checks"]
    assert gate == [{"context": "gate", "app": "github-actions"}]
    assert ruleset(ours, "main").bypass_actors == ()


def test_the_app_alone_passes_by_the_review_and_only_through_a_pull_request(ours):
    (actor,) = ruleset(ours, "main-review").bypass_actors
    assert (actor.app, actor.bypass_mode) == (ours.app.slug, "pull_request")


def test_whoever_pushed_last_is_not_the_second_pair_of_eyes(ours):
    review = rule(ours, "main-review", "pull_request")
    assert review["required_approving_review_count"] >= 1
    assert review["require_code_owner_review"]
    assert review["require_last_push_approval"]
    assert review["dismiss_stale_reviews_on_push"]


def test_the_app_s_key_lies_where_only_jobs_of_main_can_read_it(ours):
    holders = {name: each for name, each in ours.environments.items() if ours.app.secret in each.secrets}
    assert set(holders) == {"staging", "production", "automation"}
    assert all(each.branches == ("main",) for each in holders.values())


def test_no_environment_makes_a_rollback_wait(ours):
    assert [name for name, each in ours.environments.items() if each.reviewers or each.wait_timer] == []


def test_there_is_an_environment_for_each_folder_of_gitops(ours):
    folders = {path.name for path in (ROOT / "gitops/envs").iterdir() if path.is_dir()}
    assert folders <= set(ours.environments)
    assert folders <= {label.name for label in ours.labels}


def test_a_squash_keeps_the_trailers_of_a_promotion(ours):
    assert ours.repository.options.squash_merge_commit_message == "COMMIT_MESSAGES"
    assert ours.repository.options.delete_branch_on_merge is True


def test_every_action_that_workflows_use_may_run(ours):
    selected = ours.repository.actions.selected
    patterns = [re.compile(re.escape(each).replace(r"\*", ".*")) for each in selected.patterns_allowed]
    files = [*(ROOT / ".github/workflows").glob("*.yml"), *(ROOT / ".github/actions").glob("*/action.yml")]
    used = {u for file in files for u in re.findall(r"uses:\s+([\w.-]+/[\w./-]+@\w+)", file.read_text())}
    assert used
    owned = ("actions/", "github/") if selected.github_owned_allowed else ()
    refused = [each for each in used if not each.startswith(owned) and not any(p.fullmatch(each) for p in patterns)]
    assert refused == [], "add them to actions.selected.patterns_allowed in .github/settings/repository.yml"


def test_every_label_is_one_that_something_reads_or_writes(ours):
    places = [*(ROOT / ".github").rglob("*.yml"), *(ROOT / "release").glob("*.py")]
    text = "\n".join(path.read_text() for path in places if path.name != "labels.yml")
    folders = {path.name for path in (ROOT / "gitops/envs").iterdir() if path.is_dir()}
    used = {each.name for each in ours.labels if re.search(rf"['\"\[, ]{each.name}['\"\], ]", text)}
    assert {each.name for each in ours.labels} == used | folders


def test_labels_that_dependabot_puts_on_are_there(ours):
    document = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    assert {label for each in document["updates"] for label in each["labels"]} <= {each.name for each in ours.labels}
    assert all(each["cooldown"]["default-days"] >= 7 for each in document["updates"])
    assert {each["package-ecosystem"] for each in document["updates"]} == {"github-actions", "pip"}


def owners_of(path):
    """As GitHub reads CODEOWNERS: the last line that fits decides, and one without owners takes them away."""
    found = []
    for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines():
        words = line.partition("#")[0].split()
        if words and (words[0] == "*" or f"/{path}".startswith(words[0])):
            found = words[1:]
    return found


def test_production_has_owners_and_staging_none():
    line = "release/kustomization.yaml"
    assert owners_of(f"gitops/envs/production/{line}")
    assert owners_of(f"gitops/envs/staging/{line}") == []
    assert owners_of("gitops/envs/staging/kustomization.yaml")
    assert owners_of(".github/CODEOWNERS")


MISTAKES = {
    "an unknown key": ("labels", "color: 1d76db", "colour: 1d76db", "labels.yml: [0]: object"),
    "a wrong type": ("rulesets", "type: deletion", "type: deletions", "rulesets.yml: [0].rules[0].type: invalid enum value"),
    "not YAML": ("environments", "staging:", "staging: [", "environments.yml: is not YAML"),
    "a colour": ("labels", "color: 1d76db", "color: blue", "labels.yml: promotion: color: 'blue' is not six hex digits"),
    "the same label twice": ("labels", "name: rollback", "name: Promotion", "labels.yml: promotion: is there twice"),
    "the same rule twice": ("rulesets", "type: deletion", "type: non_fast_forward", "main: rules: non_fast_forward: is there twice"),
    "an actor with two names": ("rulesets", "- app: ", "- team: x\n      app: ", "each names one of app, team, user, role"),
    "a reviewer without a name": ("environments", "staging:", "staging:\n  reviewers: [{}]", "each names one of team, user"),
    "a missing key": ("app", "variable: ", "# variable: ", "app.yml: the whole of it: object missing required field `variable`"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_file_and_key(setup, name, before, after, said):
    path = setup.root / FOLDER / f"{name}.yml"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InputError) as refusal:
        load(setup.root)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_one_line(setup):
    (setup.root / FOLDER / "labels.yml").unlink()
    with pytest.raises(InputError, match=r"^\.github/settings/labels\.yml: No such file"):
        load(setup.root)


def test_the_settings_hold_nothing_that_is_not_text_or_yaml():
    files = sorted(path.name for path in (ROOT / FOLDER).iterdir())
    assert files == ["app.yml", "environments.yml", "labels.yml", "repository.yml", "rulesets.yml"]
    assert json.dumps(yaml.safe_load((ROOT / FOLDER / "labels.yml").read_text()))


def jobs():
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            yield f"{file.name}: {name}", job


def minting(job):
    """The steps of a job that ask for a token of the App."""
    return [
        each for each in job.get("steps", ()) if each.get("uses", "").startswith("actions/create-github-app-token@")
    ]


def test_no_token_is_asked_for_that_the_app_cannot_give(ours):
    levels = {"read": 1, "write": 2}
    asked = {
        (place, key.removeprefix("permission-").replace("-", "_"), level)
        for place, job in jobs()
        for step in minting(job)
        for key, level in step["with"].items()
        if key.startswith("permission-")
    }
    assert asked
    assert [each for each in asked if levels[each[2]] > levels.get(ours.app.permissions.get(each[1]), 0)] == []


def test_every_token_is_narrowed_to_what_its_job_does():
    unbounded = [
        place
        for place, job in jobs()
        for step in minting(job)
        if not any(k.startswith("permission-") for k in step["with"])
    ]
    assert unbounded == []


def test_a_job_that_asks_for_a_token_is_in_an_environment_that_has_the_key(ours):
    holders = {name for name, each in ours.environments.items() if ours.app.secret in each.secrets}
    asking = {place: job for place, job in jobs() if minting(job)}
    assert asking
    for place, job in asking.items():
        environment = job.get("environment")
        name = environment["name"] if isinstance(environment, dict) else environment
        assert name in holders or name == "${{ inputs.environment }}", place


def test_the_variable_and_the_secret_are_those_that_workflows_read(ours):
    text = "\n".join(path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))
    assert f"vars.{ours.app.variable}" in text
    assert f"secrets.{ours.app.secret}" in text
    assert set(re.findall(r"(?:vars|secrets)\.(RELEASE_\w+)", text)) == {ours.app.variable, ours.app.secret}


def test_no_job_of_a_pull_request_is_in_an_environment(ours):
    """It would be refused: environments take jobs of main only."""
    pull_request = yaml.safe_load((ROOT / ".github/workflows/pull-request.yml").read_text())
    called = {job["uses"].rpartition("/")[2] for job in pull_request["jobs"].values() if "uses" in job}
    assert [place for place, job in jobs() if place.split(":")[0] in called and "environment" in job] == []
