import json
import re
import subprocess

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from release import forges, pin
from release.git import Git
from release.git_forge import GitForge
from tests.gitops.manifests import IMAGE
from tests.release.hosted import Hosted
from tests.release.workshop import PRODUCTION, STAGING, release


def test_a_promotion_changes_one_line_of_one_file(repository):
    before = repository.truth("show", f"main:{STAGING}")
    outcome = repository.promote("staging", "one", "--merge")
    assert outcome.code == 0, outcome.error
    assert repository.truth("diff", "--numstat", "main^1", "main") == f"1\t1\t{STAGING}"
    after = repository.truth("show", f"main:{STAGING}")
    assert after == before.replace("newTag: none", f"newTag: {repository.images['one']}")


def test_it_is_one_commit_and_a_merge(repository):
    start = repository.truth("rev-parse", "main")
    repository.released("staging", "one")
    assert repository.truth("rev-list", "--count", f"{start}..main") == "2"
    assert len(repository.truth("log", "-1", "--format=%P", "main").split()) == 2
    assert repository.truth("rev-parse", "main^1") == start
    assert repository.branches() == {"main"}


def test_the_checkout_follows_and_is_clean(repository):
    repository.released("staging", "one")
    assert repository.git("rev-parse", "HEAD") == repository.truth("rev-parse", "main")
    assert repository.git("status", "--porcelain") == ""
    assert repository.images["one"] in (repository.path / STAGING).read_text()


def test_the_commit_carries_the_evidence(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    message = repository.truth("log", "-1", "--format=%B", "main^2")
    assert message.startswith(f"Promote rainy-days {repository.images['two'].partition('@')[0]} to staging\n\n")
    assert f"Before: {repository.images['one']}\nAfter:  {repository.images['two']}" in message
    assert "| ✅ | quality | floor | 0.81 | 0.7 | on # of the rows \\| all |" in message
    assert "| ✅ | latency | floor |" in message
    assert not [line for line in message.splitlines() if line.startswith("#")]  # git takes those for comments


def test_the_trailers_are_what_git_reads_as_trailers(repository):
    repository.released("staging", "one")
    repository.released("production", "one")
    message = repository.truth("log", "-1", "--format=%B", "main^2")
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    ).stdout
    assert parsed.splitlines() == [
        "Model-Version: 1",
        f"Bundle-Digest: {repository.images.digests['one']}",
        f"Image-Digest: {repository.images.image('one')}",
        f"Promoted-From: staging@{repository.truth('rev-parse', '--short=12', 'main^1^2')}",
        f"Trained-From: {'0' * 40}",
        "Gates: passed",
        "Staging-Health: unknown",
    ]


def test_without_merge_a_branch_waits_for_others(repository):
    start = repository.truth("rev-parse", "main")
    outcome = repository.promote("staging", "one")
    branch = f"promote/staging/{repository.images.image('one').removeprefix('sha256:')[:12]}"
    assert repository.truth("rev-parse", "main") == start
    assert repository.branches() == {"main", branch}
    assert repository.truth("rev-list", "--count", f"main..{branch}") == "1"
    assert "to merge it" in outcome.output


def test_the_same_promotion_again_changes_nothing(repository):
    repository.promote("staging", "one")
    opened = repository.state()
    assert repository.promote("staging", "one").code == 0
    assert repository.state() == opened
    repository.released("staging", "one")
    merged = repository.state()
    outcome = repository.promote("staging", "one", "--merge")
    assert (outcome.code, repository.state()) == (0, merged)
    assert outcome.output == f"staging: runs {repository.images['one']} already; nothing to do\n"


def test_a_branch_that_waited_is_made_again_on_what_was_merged_meanwhile(repository):
    repository.promote("staging", "two")
    repository.released("staging", "one")
    repository.released("staging", "two")
    assert repository.line("staging") == repository.images["two"]
    assert f"Before: {repository.images['one']}" in repository.truth("log", "-1", "--format=%B", "main^2")
    assert repository.branches() == {"main"}


def test_an_image_is_named_by_digest_or_by_what_image_printed(alone):
    assert alone.promote("staging", alone.images.image("one")).code == 0
    state = alone.state()
    assert alone.promote("staging", f"ghcr.io/some/where:{alone.images['one']}").code == 0
    assert alone.state() == state


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("failed", "gates: quality/floor fail 0.81, wanted 0.7"),
        ("untested", "gates: no gates.json is attached"),
        ("foreign", f"gates: gates.json is about sha256:{'0' * 64}"),
        ("unregistered", "registry: the bundle was never registered"),
        ("empty", "gates: holds no check at all"),
    ],
)
def test_a_release_without_good_evidence_is_refused(alone, name, reason):
    before = alone.state()
    outcome = alone.promote("staging", name, "--merge")
    assert (outcome.code, outcome.output) == (2, "")
    assert reason in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert alone.state() == before


def test_a_missing_load_test_is_refused_too(alone):
    assert "load test: no loadtest.json is attached" in alone.promote("staging", "untested").error


@pytest.mark.parametrize("name", ["failed", "untested", "foreign", "unregistered", "empty"])
def test_a_forced_release_says_so_in_history(alone, name):
    alone.released("staging", name, "--force", "--reason", "  it is\n3 a.m. ")
    message = alone.truth("log", "-1", "--format=%B", "main^2")
    assert message.partition("\n")[0].endswith("to staging, forced")
    assert "- overruled: " in message
    assert message.endswith("\nForced: it is 3 a.m.")
    assert f"\nGates: {'passed' if name == 'unregistered' else 'forced'}\n" in message
    assert "it is 3 a.m." in alone.run("show", "staging").output


def test_force_changes_nothing_where_nothing_is_refused(alone):
    alone.released("staging", "one", "--force", "--reason", "to be sure")
    message = alone.truth("log", "-1", "--format=%B", "main^2")
    assert "Forced" not in message
    assert "Gates: passed" in message


@pytest.mark.parametrize("words", [["--force"], ["--reason", "because"], ["--force", "--reason", "  "]])
def test_force_and_a_reason_go_together(alone, words):
    outcome = alone.promote("staging", "failed", *words)
    assert outcome.code == 2
    assert "--reason" in outcome.error


def test_production_takes_only_what_runs_in_staging(alone):
    assert alone.promote("production", "one", "--merge").code == 2
    alone.released("staging", "two")
    for words in ([], ["--force", "--reason", "now"]):
        outcome = alone.promote("production", "one", "--merge", *words)
        assert outcome.code == 2
        assert f"takes only what runs in staging, and that is {alone.images['two']}" in outcome.error
    alone.released("production", "two")
    assert alone.line("production") == alone.images["two"]


def _rolled_back(repository):
    assert repository.roll_back("staging", "--merge").code == 0


def _reverted_by_hand(repository):
    repository.git("revert", "--no-edit", "-m", "1", "HEAD")


def _edited_by_hand(repository):
    place = repository.path / STAGING
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(repository.images["one"], ""), ""))
    repository.commit("Oh no")


@pytest.mark.parametrize("take_back", [_rolled_back, _reverted_by_hand, _edited_by_hand])
def test_a_digest_that_was_taken_back_is_refused_until_somebody_approves_it_again(alone, take_back):
    alone.released("staging", "one")
    alone.released("staging", "two")
    take_back(alone)
    assert alone.line("staging") == alone.images["one"]
    outcome = alone.promote("staging", "two", "--merge")
    assert outcome.code == 2
    assert "staging took this digest back in" in outcome.error
    alone.released("staging", "two", "--force", "--reason", "the client was wrong")
    assert "Forced: the client was wrong" in alone.truth("log", "-1", "--format=%B", "main^2")
    alone.released("staging", "three")
    alone.released("production", "three")


def test_what_was_taken_back_comes_again_as_new_pods_which_are_measured(alone):
    """Known by their template, those of before would be taken for a way back: no steps, no analysis."""
    tag, _, digest = alone.images["two"].partition("@")
    said = ("--force", "--reason", "the client was wrong")
    alone.released("staging", "one")
    for number in (1, 2, 3):
        alone.released("staging", "two", *(said if number > 1 else ()))
        assert alone.line("staging") == f"{tag}{f'.{number}' if number > 1 else ''}@{digest}"
        assert f"After:  {alone.line('staging')}" in alone.truth("log", "-1", "--format=%B", "main^2")
        assert alone.roll_back("staging", "--merge").code == 0
        assert alone.line("staging") == alone.images["one"]


def test_what_was_passed_over_on_its_way_comes_again_as_new_pods_too(alone):
    """It was never taken back, and never the stable version either."""
    for name in ("one", "two", "three", "two"):
        alone.released("staging", name)
    tag, _, digest = alone.images["two"].partition("@")
    assert alone.line("staging") == f"{tag}.2@{digest}"


def test_what_only_another_environment_took_back_keeps_its_tag(alone):
    for name in ("one", "two"):
        alone.released("staging", name)
    assert alone.roll_back("staging", "--merge").code == 0
    alone.released("staging", "two", "--force", "--reason", "the client was wrong")
    alone.released("production", "two")
    assert alone.line("production") == alone.images["two"]


def test_what_production_took_back_is_refused_in_staging_as_well(alone):
    for name in ("one", "two"):
        alone.released("staging", name)
        alone.released("production", name)
    assert alone.roll_back("production", "--merge").code == 0
    alone.released("staging", "three")
    outcome = alone.promote("staging", "two", "--merge")
    assert outcome.code == 2
    assert "production took this digest back" in outcome.error


def _bare_tag(text):
    return text.replace("newTag: none", "newTag: 1.4.2")


def _without_effect(text):
    return text.replace("kind: Component", "kind: Kustomization")


def _twice(text):
    return text + "    newTag: none\n"


def _gone(text):
    return text.replace("newTag: none", "digest: none")


def _not_yaml(text):
    return text.replace("images:", "images: [")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_bare_tag, "a tag alone can change what it means"),
        (_without_effect, "must be Component, or its images change nothing"),
        (_twice, "stands there 2 times, not once"),
        (_gone, "stands there 0 times, not once"),
        (_not_yaml, "is not YAML"),
    ],
)
def test_a_release_file_that_is_not_as_it_should_be_is_refused(alone, damage, reason):
    alone.write(STAGING, damage((alone.path / STAGING).read_text()))
    alone.commit("Damage")
    before = alone.state()
    outcome = alone.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert reason in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert alone.state() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["promote", "qa", "--image", "one"], "gitops/envs/qa/release/kustomization.yaml: is not in main"),
        (["promote", "../staging", "--image", "one"], "is no environment's name"),
        (["promote", "staging", "--image", "1.4.2"], "holds no sha256:<64 hex>"),
        (["promote", "staging", "--image", f"sha256:{'1' * 64}"], "is not in this layout"),
        (["promote", "staging", "--image", "one", "--target", "trunk"], "branch trunk: is not there"),
        (["promote", "staging", "--image", "one", "--layout", "/nowhere"], "is no OCI layout"),
        (["rollback", "qa"], "is not in main"),
        (["show", "qa"], "is not in main"),
        (["pull", "--image", "one", "--to", "x", "--layout", "/nowhere"], "is no OCI layout"),
    ],
)
def test_bad_input_is_one_line(alone, arguments, reason):
    words = [alone.images.pins.get(word, word) for word in arguments]
    if words[0] == "promote" and "--layout" not in words:
        words += ["--layout", str(alone.images.layout)]
    before = alone.state()
    outcome = alone.run(*words)
    assert outcome.code == 2
    assert reason in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert alone.state() == before


def test_outside_of_a_repository_it_says_so(tmp_path, images):
    outcome = release("show", "staging", "--repository", str(tmp_path))
    assert outcome.code == 2
    assert "is no git repository" in outcome.error


def test_show_says_what_runs_since_when_and_by_which_commit(repository):
    repository.released("staging", "one")
    repository.released("production", "one")
    shown = json.loads(repository.run("show", "production", "--json", "--layout", str(repository.images.layout)).output)
    assert shown["tag"] == repository.images["one"].partition("@")[0]
    assert shown["image"] == f"{IMAGE}:{repository.images['one']}"
    assert shown["bundle_digest"] == repository.images.digests["one"]
    assert shown["commit"] == repository.truth("log", "-1", "--format=%H", "main^2")
    assert shown["gates"] == "passed"
    assert shown["since"].endswith("Z")


def test_show_knows_what_came_back_and_what_never_ran(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    assert repository.roll_back("staging", "--merge").code == 0
    text = repository.run("show", "staging").output
    assert repository.images.digests["one"] in text
    assert 'Revert "Promote rainy-days' in text
    assert "none" in repository.run("show", "production").output


def test_a_line_written_by_hand_is_known_by_the_layout(alone):
    place = alone.path / PRODUCTION
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(alone.images["one"], ""), ""))
    alone.commit("By hand")
    assert alone.images.digests["one"] in alone.run("show", "production", "--layout", str(alone.images.layout)).output
    assert "unknown" in alone.run("show", "production", "--layout", "/nowhere").output


# --- how staging is, where its cluster reports


@pytest.fixture
def asked_for_production(alone, monkeypatch):
    """Promotes to production on a forge to which the cluster said `state` of the commit that brought one into staging."""

    def ask(state, *words, later=""):
        alone.released("staging", "one")
        states = {alone.git("rev-parse", "main"): state}
        if later:
            alone.write("README.md", "something else\n")
            states[alone.commit("Something else")] = later
        git = Git.at(alone.path)
        forge = Hosted(GitForge(git), states=states)
        monkeypatch.setattr(forges, "chosen", lambda options: (git, forge))
        outcome = alone.promote("production", "one", "--merge", *words)
        return outcome, forge

    return ask


def health(alone):
    message = alone.truth("log", "-1", "--format=%B", "main^2")
    return next(line for line in message.splitlines() if line.startswith("Staging-Health:"))


def test_what_is_healthy_in_staging_says_so(alone, asked_for_production):
    outcome, forge = asked_for_production("success")
    assert outcome.code == 0, outcome.error
    assert health(alone) == "Staging-Health: healthy"
    (context,) = forge.contexts
    assert re.fullmatch(r"argocd/[a-z0-9-]+-staging", context)


def test_the_newest_commit_that_anything_was_said_of_decides(alone, asked_for_production):
    assert asked_for_production("failure", later="success")[0].code == 0
    assert health(alone) == "Staging-Health: healthy"


def test_a_cluster_that_said_nothing_is_unknown_and_a_second_person_is_asked_for(alone, asked_for_production):
    outcome, _ = asked_for_production("")
    assert outcome.code == 0
    assert health(alone) == "Staging-Health: unknown"


@pytest.mark.parametrize(
    ("state", "said"),
    [("failure", "is not healthy"), ("error", "is not healthy"), ("pending", "is still bringing it out")],
)
def test_what_is_not_healthy_in_staging_does_not_go_on(alone, asked_for_production, state, said):
    outcome, _ = asked_for_production(state)
    assert outcome.code == 2
    assert said in outcome.error
    assert alone.line("production") == "none"


def test_that_can_be_overruled_with_a_reason(alone, asked_for_production):
    outcome, _ = asked_for_production("failure", "--force", "--reason", "the probe is wrong")
    assert outcome.code == 0
    assert health(alone) == "Staging-Health: failed"


def test_what_a_cluster_said_of_the_version_before_does_not_count(alone, monkeypatch):
    alone.released("staging", "one")
    git = Git.at(alone.path)
    forge = Hosted(GitForge(git), states={alone.git("rev-parse", "main"): "success"})
    alone.released("staging", "two")
    monkeypatch.setattr(forges, "chosen", lambda options: (git, forge))
    assert alone.promote("production", "two", "--merge").code == 0
    assert health(alone) == "Staging-Health: unknown"


# --- what a reviewer sees


@pytest.fixture
def body(alone, bodies):
    """The body of the pull request that a promotion proposes."""

    def promoted(environment, name, *words):
        outcome = alone.promote(environment, name, "--merge", *words)
        assert outcome.code == 0, outcome.error
        return bodies[-1]

    return promoted


def test_the_body_says_what_changes_what_it_is_worth_and_how_to_undo_it(alone, body):
    first = body("staging", "one")
    assert "| Runs now | nothing, this is the first release |" in first
    second = body("staging", "two")
    assert f"| Runs now | `{alone.images['one']}` |" in second
    assert f"| After this | `{alone.images['two']}` |" in second
    assert "| quality: floor | 0.81 | 0.81 | ±0 | 0.7 |" in second
    assert "| ✅ | quality | 1 |" in second
    assert "git revert --no-edit $(git log" in second
    assert "<summary>Gates: all 1 checks</summary>" in second


def test_the_body_asks_for_a_second_person_where_staging_s_health_is_unknown(alone, body):
    body("staging", "one")
    assert "**a second person has to approve**" in body("production", "one")


def test_the_body_of_a_forced_release_says_so_first(alone, body):
    text = body("staging", "failed", "--force", "--reason", "a demo | for us")
    assert "> [!WARNING]\n> Released by force: a demo \\| for us\n> - gates: quality/floor fail" in text
    assert "| ❌ | quality | 1 | ❌ floor: 0.81, wanted 0.7 |" in text


def test_what_runs_now_may_not_be_at_hand(alone, body):
    place = alone.path / STAGING
    place.write_text(place.read_text().replace("newTag: none", f"newTag: 9-0123456789ab@sha256:{'f' * 64}"))
    alone.commit("From elsewhere")
    assert "are not at hand here" in body("staging", "one")


def test_the_body_is_tables_to_github_s_own_parser(alone, body):
    """A cell with a bar or a line end in it would end the table, and show the rest as text."""
    body("staging", "one")
    text = body("staging", "two")
    html = cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)
    assert html.count("<table>") == 5  # what changes, figures, gates, and each report whole
    assert html.count("<details>") == html.count("</details>") == 2
    assert "|---" not in html
    assert "on # of the rows | all" in html
