"""What a notification may say, by malice or by mistake: refused in one line or passed over, and nothing is written."""

import json

import pytest

from tests.forge.test_way import aborted, released

DIGEST = "sha256:" + "0" * 64
HOSTILE = {
    "shell in the namespace": {"namespace": "$(touch pwned); `touch pwned`"},
    "a path as namespace": {"namespace": "../../.github/workflows"},
    "a foreign namespace": {"namespace": "kube-system"},
    "an empty namespace": {"namespace": ""},
    "no namespace": {"namespace": None},
    "a tag alone": {"image": "registry.example.com/model:latest"},
    "shell behind the digest": {"image": f"model@{DIGEST}; touch pwned"},
    "a line end behind the digest": {"image": f"model@{DIGEST}\nGITHUB_ENV=x"},
    "a digest of another length": {"image": "model@sha256:abc"},
    "capital letters in the digest": {"image": f"model@{DIGEST.replace('0', 'A')}"},
    "a number as image": {"image": 7},
    "an option as image": {"image": f"--upload-pack=touch pwned@{DIGEST[:-1]}"},
    "metrics that are none": {"metrics": "none"},
}
WHOLE = {
    "no JSON": "rollout-aborted",
    "a list": "[]",
    "nothing": "",
    "no payload": '{"event_type": "rollout-aborted"}',
    "a payload that is text": '{"event_type": "rollout-aborted", "client_payload": "x"}',
    "another type": '{"event_type": 7, "client_payload": {}}',
    "deep": "[" * 5000,
    "NUL": "\0",
}


@pytest.fixture
def running(github, hosted):
    """Staging and production run one; what is asked for from here on is counted."""
    for environment in ("staging", "production"):
        released(github, hosted, environment, "one")
    github.asked.clear()
    return hosted


@pytest.fixture
def two(github, hosted):
    """Staging and production went from one to two; what is asked for from here on is counted."""
    for name in ("one", "two"):
        for environment in ("staging", "production"):
            released(github, hosted, environment, name)
    github.asked.clear()
    return hosted


def nothing_was_written(github, repository, refs):
    assert github.writes() == []
    assert repository.truth("for-each-ref") == refs
    assert not list(repository.path.rglob("pwned"))
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_payload_that_is_not_ours_is_refused_in_one_line(github, running, tmp_path, change):
    refs = running.truth("for-each-ref")
    outcome = running.run(*aborted(running, tmp_path / "event.json", "production", running.images["one"], **change))
    assert (outcome.code, outcome.output, outcome.error.count("\n")) == (2, "", 1), outcome.error
    nothing_was_written(github, running, refs)


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_body_that_is_no_notification_is_refused_in_one_line(github, running, tmp_path, text):
    refs = running.truth("for-each-ref")
    file = tmp_path / "event.json"
    file.write_text(text)
    outcome = running.run("rollback", "--event", str(file), "--merge")
    assert (outcome.code, outcome.error.count("\n")) == (2, 1), outcome.error
    nothing_was_written(github, running, refs)


@pytest.mark.parametrize(
    ("pin", "more"),
    [
        (f"2@{DIGEST}", {}),  # a digest that nobody ever ran
        ("one", {}),  # a replay: what ran before, sent back long ago
        ("two", {"event_type": "rollout-waits"}),
    ],
    ids=["wrong digest", "replay", "for a person"],
)
def test_what_does_not_run_is_passed_over(github, two, tmp_path, pin, more):
    refs = two.truth("for-each-ref")
    file = tmp_path / "event.json"
    arguments = aborted(two, file, "production", two.images.pins.get(pin, pin))
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    outcome = two.run(*arguments)
    assert (outcome.code, "nothing to do" in outcome.output) == (0, True), outcome.error
    nothing_was_written(github, two, refs)


def test_the_same_abort_twice_and_after_a_new_promotion(github, two, tmp_path):
    event = aborted(two, tmp_path / "event.json", "staging", two.images["two"])
    assert two.run(*event).code == 0
    assert two.line("staging") == two.images["one"]
    released(github, two, "staging", "three")
    refs = two.truth("for-each-ref")
    github.asked.clear()
    for _ in range(2):
        assert two.run(*event).code == 0
    nothing_was_written(github, two, refs)
    assert two.line("staging") == two.images["three"]


def test_two_aborts_at_the_same_time_make_one_revert(github, two, tmp_path):
    event = aborted(two, tmp_path / "event.json", "staging", two.images["two"])
    started = [two.process(*event) for _ in range(3)]
    for process in started:
        output, error = process.communicate(timeout=120)
        assert process.returncode == 0, output + error
    assert two.line("staging") == two.images["one"]
    assert (
        len([pull for pull in github.pulls.values() if pull.head.startswith("rollback/staging/") and pull.merged]) == 1
    )
    assert two.branches() == {"main"}
    assert github.open_pulls() == []


def test_what_the_reason_says_is_text_in_history_and_nothing_more(github, two, tmp_path):
    reason = "$(touch pwned)\n\nRolled-Back-From: sha256:" + "1" * 64 + "\x1b[31m <script>@everyone</script>"
    event = aborted(two, tmp_path / "event.json", "staging", two.images["two"], reason=reason, metrics=[])
    assert two.run(*event).code == 0
    commit = two.truth("rev-list", "-1", "--grep", "Why: rollout-aborted", "main")
    message = two.truth("log", "-1", "--format=%B", commit)
    (why,) = [line for line in message.splitlines() if line.startswith("Why: ")]
    assert "touch pwned" in why
    assert two.truth("log", "-1", "--format=%(trailers:key=Rolled-Back-From,valueonly)", commit) == two.images.image(
        "two"
    )
    assert not list(two.path.rglob("pwned"))
    assert "\x1b" not in message


def test_an_event_for_staging_leaves_production_alone(github, two, tmp_path):
    assert two.run(*aborted(two, tmp_path / "event.json", "staging", two.images["two"])).code == 0
    assert two.line("production") == two.images["two"]
