"""What a generated repository says about itself on GitHub: the same rules, under its own names."""

import pytest

from release.github.settings import load
from tests.template.test_generated_repository import LONG, SHORT
from tests.template.trees import OTHER, ROOT, files


@pytest.mark.parametrize("answers", [OTHER, LONG, SHORT], ids=["other", "long", "short"])
def test_its_settings_are_the_template_s_with_its_own_app(generate, answers):
    here, there = load(ROOT), load(generate(**answers))
    app = f"{answers['github_owner']}-release"
    assert there.app.slug == app
    (actor,) = next(each for each in there.rulesets if each.name == "main-review").bypass_actors
    assert actor.app == app
    assert there.environments == here.environments
    assert there.labels == here.labels
    assert there.repository == here.repository


def test_its_own_team_owns_it_and_production_above_all(generate):
    lines = [line.split() for line in (generate(**OTHER) / ".github/CODEOWNERS").read_text().splitlines() if line]
    owned = {words[0]: words[1:] for words in lines if words[0] != "#"}
    assert owned["/gitops/envs/production/release/"] == ["@Example-Bank/retention"]
    assert owned["/gitops/envs/staging/release/"] == []
    assert {owner for owners in owned.values() for owner in owners} == {"@Example-Bank/retention"}


def test_its_page_about_the_set_up_has_its_own_names(generate):
    page = (generate(**OTHER) / "docs/github-setup.md").read_text()
    assert "gh repo create Example-Bank/churn-risk" in page
    assert "`Example-Bank-release`" in page


def test_it_has_all_that_github_reads(generate):
    found = set(files(generate(**OTHER)))
    assert {f".github/{name}" for name in ("CODEOWNERS", "dependabot.yml", "pull_request_template.md")} <= found
    assert {
        f".github/settings/{name}.yml" for name in ("app", "environments", "labels", "repository", "rulesets")
    } <= found
