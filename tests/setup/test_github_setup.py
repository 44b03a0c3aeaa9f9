"""`release github-setup` over real HTTP: what it shows, what it writes, what it leaves alone, what it is refused."""

import subprocess

import pytest

from contracts.errors import InputError
from release.cli import main
from release.github import options
from release.github.rest import RefusedError
from release.github.settings import load
from tests.github.access import SLUG
from tests.github.faults import Fault
from tests.github.hub import APP, Token
from tests.github.settings import INSTALLATIONS, OF_ACTIONS, SELECTED, TEAMS, VARIABLES, more
from tests.setup.conftest import asks


def of(hub, name):
    return next(each for each in hub.rulesets.values() if each["name"] == name)


def rule(hub, name, kind):
    return next(each["parameters"] for each in of(hub, name)["rules"] if each["type"] == kind)


def test_a_dry_run_shows_everything_and_writes_nothing(setup):
    assert setup() == 1
    assert setup.wrote == []
    assert "ruleset main: + rule.required_status_checks.check.gate: 15368" in setup.said
    assert "options: ~ delete_branch_on_merge: no -> yes" in setup.said
    assert "nothing written; to do it: make github-setup APPLY=1" in setup.said[-1]


def test_applied_it_is_as_the_files_say(setup, hub):
    assert setup(apply=True) == 0
    assert {each["name"] for each in hub.rulesets.values()} == {"main", "main-review"}
    (check,) = rule(hub, "main", "required_status_checks")["required_status_checks"]
    assert check == {"context": "gate", "integration_id": OF_ACTIONS}
    assert of(hub, "main-review")["bypass_actors"] == [
        {"actor_id": APP, "actor_type": "Integration", "bypass_mode": "pull_request"}
    ]
    assert {name: [p["name"] for p in each["policies"].values()] for name, each in hub.environments.items()} == {
        "staging": ["main"], "production": ["main"], "automation": ["main"],
    }  # fmt: skip
    assert more(hub, VARIABLES) == {"RELEASE_APP_CLIENT_ID": "Iv23stand1n"}
    assert hub.options["delete_branch_on_merge"] is True


def test_applied_again_not_one_request_writes(done):
    assert done(apply=True) == 0
    assert done.wrote == []
    assert done.said == ["slipway-tests/model: is as .github/settings says; nothing to do"]


def test_rules_come_last(setup):
    """From then on a push to main is refused: what is refused before does not lock anybody out of mending it."""
    setup(apply=True)
    assert setup.wrote[-2:] == ["POST /rulesets", "POST /rulesets"]
    assert setup.wrote.count("POST /rulesets") == 2


BY_HAND = {
    "approvals": (
        lambda hub: rule(hub, "main-review", "pull_request").update(required_approving_review_count=0),
        "ruleset main-review: ~ rule.pull_request.required_approving_review_count: 0 -> 1",
    ),
    "a rule is gone": (
        lambda hub: of(hub, "main").update(rules=[r for r in of(hub, "main")["rules"] if r["type"] != "deletion"]),
        "ruleset main: + rule.deletion",
    ),
    "switched off": (
        lambda hub: of(hub, "main").update(enforcement="disabled"),
        "ruleset main: ~ enforcement: disabled -> active",
    ),
    "anybody's gate": (
        lambda hub: rule(hub, "main", "required_status_checks")["required_status_checks"][0].pop("integration_id"),
        "ruleset main: ~ rule.required_status_checks.check.gate: nothing -> 15368",
    ),
    "the App may push": (
        lambda hub: of(hub, "main-review")["bypass_actors"][0].update(bypass_mode="always"),
        f"ruleset main-review: ~ passes by.app {SLUG}: always -> pull_request",
    ),
    "the App waits": (
        lambda hub: of(hub, "main-review").update(bypass_actors=[]),
        f"ruleset main-review: + passes by.app {SLUG}: pull_request",
    ),
    "another branch": (
        lambda hub: of(hub, "main").update(conditions={"ref_name": {"include": ["refs/heads/x"], "exclude": []}}),
        "ruleset main: ~ holds for.include: refs/heads/x -> ~DEFAULT_BRANCH",
    ),
    "a branch less": (
        lambda hub: hub.environments["production"].update(policies={}),
        "environment production: + branch main",
    ),
    "every branch": (
        lambda hub: hub.environments["production"].update(deployment_branch_policy=None),
        "environment production: ~ jobs of: any branch -> the branches named",
    ),
    "a label": (
        lambda hub: hub.labels["rollback"].update(color="ffffff"),
        "label rollback: ~ color: ffffff -> b60205",
    ),
    "a label is gone": (lambda hub: hub.labels.pop("rollback"), "label rollback: + label"),
    "an option": (
        lambda hub: hub.options.update(squash_merge_commit_message="BLANK"),
        "options: ~ squash_merge_commit_message: BLANK -> COMMIT_MESSAGES",
    ),
    "a scanner": (
        lambda hub: hub.options["security_and_analysis"].update(secret_scanning={"status": "disabled"}),
        "scanners: ~ secret_scanning.status: disabled -> enabled",
    ),
    "pins": (
        lambda hub: more(hub, "actions/permissions").update(sha_pinning_required=False),
        "Actions: ~ sha_pinning_required: no -> yes",
    ),
    "GITHUB_TOKEN": (
        lambda hub: more(hub, "workflow-rights").update(default_workflow_permissions="write"),
        "GITHUB_TOKEN: ~ default_workflow_permissions: write -> read",
    ),
    "another App": (
        lambda hub: more(hub, VARIABLES).update(RELEASE_APP_CLIENT_ID="Iv1.other"),
        "variable RELEASE_APP_CLIENT_ID: ~ value: Iv1.other -> Iv23stand1n",
    ),
    "alerts": (
        lambda hub: more(hub, "switches").update(fixes=False, alerts=False),
        "Dependabot: ~ alerts: no -> yes",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("by_hand", "line"), BY_HAND.values(), ids=BY_HAND)
def test_what_was_changed_by_hand_is_seen_and_put_right(done, hub, by_hand, line):
    by_hand(hub)
    assert done() == 1
    assert line in done.said
    assert done(apply=True) == 0
    assert done.wrote
    assert done(apply=True) == 0
    assert done.wrote == []


MORE = {
    "an actor": (
        lambda hub: of(hub, "main")["bypass_actors"].append({"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}),
        "ruleset main: passes by.RepositoryRole 5: always",
    ),
    "a rule": (
        lambda hub: of(hub, "main")["rules"].append({"type": "required_signatures"}),
        "ruleset main: rule.required_signatures",
    ),
    "a check": (
        lambda hub: rule(hub, "main", "required_status_checks")["required_status_checks"].append({"context": "licence"}),
        "ruleset main: rule.required_status_checks.check.licence",
    ),
    "a branch": (
        lambda hub: hub.environments["staging"]["policies"].update({99: {"name": "try/*"}}),
        "environment staging: branch try/*",
    ),
    "an action": (
        lambda hub: more(hub, SELECTED).update(patterns_allowed=[*more(hub, SELECTED)["patterns_allowed"], "acme/scan@*"]),
        "Actions: acme/scan@* is allowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("by_hand", "line"), MORE.values(), ids=MORE)
def test_what_was_added_by_hand_stays_and_is_told(done, hub, by_hand, line):
    by_hand(hub)
    assert done(apply=True) == 0
    assert f"kept, although no file names it: {line}" in done.said
    assert done.wrote == []


@pytest.mark.parametrize(("by_hand", "line"), MORE.values(), ids=MORE)
def test_it_stays_when_something_beside_it_is_put_right(done, hub, by_hand, line):
    by_hand(hub)
    of(hub, "main").update(enforcement="disabled")
    hub.environments["staging"].update(
        deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True}, wait_timer=0
    )
    more(hub, SELECTED).update(verified_allowed=True)
    assert done(apply=True) == 0
    assert done.wrote
    assert done() == 0
    assert f"kept, although no file names it: {line}" in done.said


@pytest.mark.parametrize("by_hand", [each[0] for each in MORE.values()], ids=MORE)
def test_it_goes_when_told_so(done, hub, by_hand):
    by_hand(hub)
    assert done(prune=True) == 1
    assert done.wrote == []
    assert done(apply=True, prune=True) == 0
    assert done.wrote
    assert done() == 0
    assert [line for line in done.said if line.startswith("kept")] == []


def test_rulesets_labels_environments_and_variables_of_others_are_left_alone_even_then(done, hub):
    hub.rulesets[7] = {"name": "theirs", "enforcement": "active", "rules": [], "conditions": {}, "bypass_actors": []}
    hub.labels["bug"] = {"color": "d73a4a", "description": ""}
    hub.environments["sandbox"] = {"policies": {}}
    more(hub, VARIABLES)["OTHER"] = "1"
    assert done(apply=True, prune=True) == 0
    assert done.wrote == []
    assert "kept, although no file names it: ruleset theirs" in done.said


def test_a_parameter_that_the_file_does_not_name_keeps_its_value(done, hub):
    rule(hub, "main-review", "pull_request")["allowed_merge_methods"] = ["squash"]
    rule(hub, "main-review", "pull_request")["required_approving_review_count"] = 0
    assert done(apply=True) == 0
    assert rule(hub, "main-review", "pull_request")["allowed_merge_methods"] == ["squash"]


def test_the_protection_of_an_environment_that_the_file_does_not_name_stays(done, hub):
    hub.environments["production"].update(
        wait_timer=30, reviewers=[{"type": "Team", "id": 3}], deployment_branch_policy=None
    )
    assert done(apply=True) == 0
    assert hub.environments["production"]["wait_timer"] == 30
    assert hub.environments["production"]["reviewers"] == [{"type": "Team", "id": 3}]


def test_teams_people_and_roles_are_named(setup, hub):
    more(hub, TEAMS)["on-call"] = 31
    setup.edit("rulesets", f"- app: {SLUG}\n", f"- {{team: on-call}}\n    - {{role: admin}}\n    - app: {SLUG}\n")
    setup.edit("environments", "automation:", "automation:\n  reviewers: [{team: on-call}]")
    assert setup(apply=True) == 0
    assert [each["actor_id"] for each in of(hub, "main-review")["bypass_actors"]] == [31, 5, APP]
    assert hub.environments["automation"]["reviewers"] == [{"type": "Team", "id": 31}]
    assert setup() == 0


# --- refusals


def test_an_app_that_github_does_not_show_is_told_and_everything_else_done(setup, hub):
    more(hub, "apps").pop(SLUG)
    more(hub, INSTALLATIONS).pop(SLUG)
    assert setup(apply=True) == 2
    refused = [line for line in setup.said if line.startswith("refused: ")]
    assert [line.split(": ")[1] for line in refused] == ["variable RELEASE_APP_CLIENT_ID", "ruleset main-review"]
    assert all("docs/github-setup.md, step 1" in line for line in refused)
    assert {each["name"] for each in hub.rulesets.values()} == {"main"}
    assert setup.said[-1] == "slipway-tests/model: 17 changed, 2 refused"
    more(hub, "apps")[SLUG] = (APP, "Iv23stand1n")
    assert setup(apply=True) == 0
    assert setup.wrote == ["POST /actions/variables", "POST /rulesets"]


def test_a_private_app_is_found_among_the_organisation_s_installations(setup, hub):
    more(hub, "apps").pop(SLUG)
    hub.rulesets.clear()
    more(hub, INSTALLATIONS)[SLUG] = {"metadata": "read"}
    more(hub, "apps")["hidden"] = (APP, "Iv23stand1n")
    assert setup(apply=True) == 0
    assert of(hub, "main-review")["bypass_actors"][0]["actor_id"] == APP


def test_an_app_s_number_may_stand_in_the_file(setup, hub):
    more(hub, "apps").pop(SLUG)
    more(hub, "apps")["hidden"] = (77, "x")
    hub.more[INSTALLATIONS] = None  # a person's repository
    setup.edit("app", "# id: 123456", "id: 77 #")
    setup.edit("app", "# client_id: Iv23…", "client_id: Iv23mine")
    assert setup(apply=True) == 0
    assert of(hub, "main-review")["bypass_actors"][0]["actor_id"] == 77
    assert more(hub, VARIABLES)["RELEASE_APP_CLIENT_ID"] == "Iv23mine"


def test_a_repository_that_is_not_there_is_one_line(setup, hub):
    setup.rest.repository = "slipway-tests/other"
    with pytest.raises(
        InputError, match=r"^GitHub: slipway-tests/other: is not there, or the token may not see it"
    ) as refusal:
        setup(apply=True)
    assert "\n" not in str(refusal.value)


def test_a_wrong_token_is_one_line_and_nothing_else_is_asked(hub, root, setup):
    setup.rest = asks(hub, "nobody's")
    with pytest.raises(
        RefusedError, match=r"^GitHub: GET /repos/slipway-tests/model: 401 Bad credentials; the token is wrong"
    ):
        setup(apply=True)
    assert len(hub.asked) == 1


def test_a_token_without_rights_is_told_for_each_part(hub, setup):
    hub.tokens["reader"] = Token("reader", {"metadata": "read", "contents": "read", "issues": "write"})
    setup.rest = asks(hub, "reader")
    assert setup(apply=True) == 2
    assert {line.split(": ")[1] for line in setup.said if line.startswith("refused: ")} >= {
        "Dependabot", "Actions", "environment staging", "rulesets",
    }  # fmt: skip
    assert all(
        "docs/github-setup.md says which rights" in x for x in setup.said if x.startswith("refused: ") and "403" in x
    )
    assert "label rollback: + label" in setup.said
    assert "rollback" in hub.labels


def test_who_may_not_see_who_passes_by_writes_nothing_over_it(done, hub):
    hub.tokens["auditor"] = Token("auditor", {"*": "write", "administration": "read"})
    done.rest = asks(hub, "auditor")
    of(hub, "main").update(enforcement="disabled")
    assert done(apply=True) == 2
    assert (
        "refused: ruleset main: this token is not shown who may pass it by; it needs Administration: write" in done.said
    )
    assert done.wrote == []


def test_options_that_are_not_shown_are_not_guessed(root):
    """GitHub leaves them out for whoever does not administer the repository."""
    found = options.repository({"has_wiki": True}, load(root).repository)
    assert found.changes == ()
    assert found.refused == ("options: GitHub shows them to administrators only, and this token is none's",)


def test_what_a_plan_does_not_have_is_one_line_and_the_rest_is_done(setup, hub):
    hub.options["private"] = True
    assert setup(apply=True) == 2
    (line,) = [each for each in setup.said if each.startswith("refused: ")]
    assert line.startswith(
        "refused: scanners: GitHub: PATCH /repos/slipway-tests/model: 422 Secret scanning is not available"
    )
    assert {each["name"] for each in hub.rulesets.values()} == {"main", "main-review"}


@pytest.mark.parametrize(
    "fault",
    [Fault(code=503), Fault(cut=True), Fault.many(wait=1), Fault(seconds=0.1)],
    ids=["503", "cut", "429", "slow"],
)
def test_a_reading_request_that_fails_once_is_asked_again(done, hub, fault):
    met = Fault(**{**vars(fault), "match": "GET .*/rulesets"})
    hub.faults.add(met)
    assert done() == 0
    assert met.times == 0


@pytest.mark.parametrize("code", [500, 502])
def test_a_writing_request_that_fails_is_not_sent_twice_and_the_next_run_goes_on(setup, hub, code):
    hub.faults.add(Fault("POST .*/rulesets", code))
    with pytest.raises(
        RefusedError, match=rf"POST /repos/slipway-tests/model/rulesets: {code} Server Error; GitHub has a problem"
    ):
        setup(apply=True)
    assert setup(apply=True) == 0
    assert setup.wrote == ["POST /rulesets", "POST /rulesets"]


def test_an_answer_that_is_lost_leads_to_no_second_ruleset(setup, hub):
    hub.faults.add(Fault("POST .*/rulesets", cut=True, moment="after"))
    with pytest.raises(RefusedError, match="no answer"):
        setup(apply=True)
    assert setup(apply=True) == 0
    assert sorted(each["name"] for each in hub.rulesets.values()) == ["main", "main-review"]


def test_a_limit_that_lasts_is_told_and_not_waited_for(done, hub):
    hub.faults.add(Fault.many("GET .*/labels", wait=3600))
    with pytest.raises(RefusedError, match=r"labels: 429 .*a limit; try again in 3600 s"):
        done()


# --- the command


@pytest.fixture
def command(hub, root, monkeypatch):
    """The command line, as make calls it; GitHub is the stand-in, the checkout no repository of git yet."""
    for key, value in {
        "GITHUB_API_URL": hub.url,
        "GITHUB_REPOSITORY": hub.full_name,
        "GITHUB_TOKEN": "token-of-tests",
    }.items():
        monkeypatch.setenv(key, value)
    subprocess.run(["git", "init", "-q", root], check=True)
    return lambda *arguments: main(["github-setup", "--repository", str(root), *arguments])


def test_the_command_s_exit_code_says_what_is_so(command, hub, capsys):
    assert command() == 1
    assert hub.writes() == []
    assert command("--apply") == 0
    assert command() == 0
    assert capsys.readouterr().out.endswith("slipway-tests/model: is as .github/settings says; nothing to do\n")


def test_the_command_names_another_repository(command, capsys):
    assert command("--on", "slipway-tests/another") == 2
    assert capsys.readouterr().err.startswith("github-setup: GitHub: slipway-tests/another: is not there")


def test_without_a_token_the_command_says_how_to_have_one(command, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_TOKEN")
    assert command() == 2
    assert (
        capsys.readouterr().err
        == "github-setup: GITHUB_TOKEN: is not set; for a person: export GITHUB_TOKEN=$(gh auth token)\n"
    )
