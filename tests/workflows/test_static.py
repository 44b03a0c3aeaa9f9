"""What no runner here looks at: rights, queues, the shape of the gate, values in shells. Over the files as they are."""

import re

import pytest
import yaml

from tests.workflows.act import PROGRAMS, STUBS, lower, program

REUSABLE = {
    "test",
    "train",
    "image",
    "loadtest",
    "promote",
    "rollback",
    "gitops-checks",
    "retrain",
    "template-update",
    "e2e",
}
CALLERS = {
    "pull-request",
    "main",
    "production",
    "rollback-dispatch",
    "scheduled-retrain",
    "scheduled-template-update",
    "nightly-e2e",
    "e2e-by-label",
}
OWN = "$/.github/workflows/"
PINNED = re.compile(r"^ *(?:- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
QUEUED = {"main", "production", "rollback-dispatch", "promote/promote", "rollback/rollback"}
LEVELS = ("none", "read", "write")


@pytest.fixture(scope="module")
def texts(root):
    return {file.stem: file.read_text() for file in (root / ".github/workflows").glob("*.yml")}


@pytest.fixture(scope="module")
def workflows(texts):
    return {name: yaml.safe_load(text) for name, text in texts.items()}


def triggers(workflow):
    found = workflow[True]  # YAML's word for `on`
    return found if isinstance(found, dict) else {found: None}


def jobs(workflows):
    return [(f"{name}/{key}", job) for name, workflow in workflows.items() for key, job in workflow["jobs"].items()]


def steps(workflows):
    return [(f"{place}: {step['name']}", step) for place, job in jobs(workflows) for step in job.get("steps", ())]


def test_act_is_here():
    if program() is None:
        pytest.skip("act has no wheel for this system: no workflow was run")


def test_each_workflow_is_called_or_calls(workflows):
    assert set(workflows) == REUSABLE | CALLERS
    assert {name for name, workflow in workflows.items() if set(triggers(workflow)) == {"workflow_call"}} == REUSABLE
    assert {name for name in CALLERS if "workflow_call" in triggers(workflows[name])} == set()
    called = {job["uses"].removeprefix(OWN).removesuffix(".yml") for _, job in jobs(workflows) if "uses" in job}
    assert called == REUSABLE


def test_no_workflow_runs_on_what_a_stranger_may_say(workflows):
    known = {"pull_request", "merge_group", "push", "status", "repository_dispatch", "workflow_dispatch", "schedule"}
    assert set().union(*(triggers(workflows[name]) for name in CALLERS)) == known


def test_time_and_push_never_start_the_same_file(workflows):
    for name in CALLERS:
        found = set(triggers(workflows[name]))
        assert "schedule" not in found or found <= {"schedule", "workflow_dispatch"}, name


def test_nothing_is_allowed_that_a_job_does_not_ask_for(workflows):
    assert {name for name, workflow in workflows.items() if workflow["permissions"] != {}} == set()
    assert [place for place, job in jobs(workflows) if "permissions" not in job] == []


def test_a_caller_passes_on_exactly_what_the_called_jobs_ask_for(workflows):
    for place, job in jobs(workflows):
        if "uses" not in job:
            continue
        called = workflows[job["uses"].removeprefix(OWN).removesuffix(".yml")]
        asked: dict[str, str] = {}
        for inner in called["jobs"].values():
            for right, level in inner["permissions"].items():
                asked[right] = max(asked.get(right, "none"), level, key=LEVELS.index)
        assert job["permissions"] == asked, place


def test_what_runs_the_model_s_code_may_write_nothing(workflows):
    """The one exception is the comment, which only puts reports into words."""
    writing = {place for place, job in jobs(workflows) if "uses" not in job and "write" in job["permissions"].values()}
    assert writing == {"image/publish", "loadtest/attach", "pull-request/comment"}


def test_a_right_that_writes_says_what_for(texts):
    for name, text in texts.items():
        assert re.findall(r"^ +(?!permission-)[a-z-]+: write$", text, re.MULTILINE) == [], name


def test_every_foreign_action_is_pinned_with_its_version_beside_it(texts):
    lines = [line for text in texts.values() for line in text.splitlines() if re.match(r" *(- )?uses:", line)]
    foreign = [line for line in lines if OWN not in line]
    assert len(foreign) > 50
    assert [line for line in foreign if not PINNED.match(line)] == []
    versions = {line.partition("uses: ")[2] for line in foreign}
    assert len({line.partition("@")[0] for line in versions}) == len(versions)  # one version of each


def test_each_stub_stands_for_an_action_that_is_used_and_takes_what_it_is_given(workflows):
    used: dict[str, set[str]] = {}
    for _, step in steps(workflows):
        if "uses" in step:
            used.setdefault(step["uses"].partition("@")[0].rpartition("/")[2], set()).update(step.get("with", {}))
    assert used.keys() == {folder.name for folder in STUBS.iterdir()}
    for name, inputs in used.items():
        stub = yaml.safe_load((STUBS / name / "action.yml").read_text())
        assert inputs <= stub.get("inputs", {}).keys(), name


def test_no_value_is_written_into_a_shell(workflows):
    for place, step in steps(workflows):
        assert "${{" not in step.get("run", ""), place


def test_make_is_given_no_value_that_came_from_outside(workflows):
    """make expands what it is given: $(shell ...) in a variable runs."""
    for place, step in steps(workflows):
        for line in re.findall(r"^make [^\n|&;]*", step.get("run", ""), re.MULTILINE):
            assert "$" not in line, place
        if "make " in step.get("run", ""):
            values = {key: value for key, value in step.get("env", {}).items() if "github.event" in str(value)}
            assert values == {}, place


def test_secrets_are_named_one_by_one_and_used_where_an_environment_guards_them(workflows):
    for place, job in jobs(workflows):
        assert job.get("secrets") != "inherit", place
        if "uses" not in job and "secrets." in str(job):
            assert job["environment"]["name"] in ("${{ inputs.environment }}", "automation"), place
            assert job["environment"]["deployment"] is False, place


def test_no_event_chooses_the_name_of_an_environment(workflows):
    names = {str(job["environment"]["name"]) for _, job in jobs(workflows) if "environment" in job}
    assert not [name for name in names if "github.event" in name]
    given = [
        job["with"]["environment"] for place, job in jobs(workflows) if job.get("uses", "").endswith("promote.yml")
    ]
    assert set(given) == {"staging", "production"}


def test_no_promotion_and_no_rollback_is_dropped_for_a_later_one(workflows):
    groups = {name: workflow.get("concurrency") for name, workflow in workflows.items()}
    groups |= {place: job.get("concurrency") for place, job in jobs(workflows)}
    assert {place for place, group in groups.items() if group and group.get("queue") == "max"} == QUEUED
    for place in QUEUED:
        assert groups[place]["cancel-in-progress"] is False
    assert all(workflows[name].get("concurrency") for name in CALLERS)
    named = [group["group"] for group in groups.values() if group]
    assert len(set(named)) == len(named)  # a caller and its called job in one group wait for each other


def test_the_gate_always_runs_and_waits_for_every_other_job(workflows):
    found = workflows["pull-request"]
    gate = found["jobs"]["gate"]
    assert gate["if"] == "always()"
    assert set(gate["needs"]) == found["jobs"].keys() - {"gate"}
    assert "concurrency" not in gate
    assert "environment" not in gate
    for event in ("pull_request", "merge_group"):
        filters = triggers(found)[event] or {}
        assert not {key for key in filters if key.startswith(("paths", "branches"))}
    assert [place for place, job in jobs(workflows) if job.get("name", place.partition("/")[2]) == "gate"] == [
        "pull-request/gate"
    ]


def test_a_checkout_keeps_no_credentials(workflows):
    found = [step for _, step in steps(workflows) if step.get("uses", "").startswith("actions/checkout@")]
    assert found
    assert all(step["with"]["persist-credentials"] is False for step in found)


def test_every_job_ends_by_itself(workflows):
    assert [place for place, job in jobs(workflows) if "uses" not in job and "timeout-minutes" not in job] == []


def test_nothing_is_used_that_cannot_be_run_here(texts):
    """case() has no lowering; what is lowered is no more than three keys, a path and a name."""
    for name, text in texts.items():
        assert "case(" not in text, name
        before, after = yaml.safe_load(text), yaml.safe_load(lower(text))
        assert without(before) == after, name


def without(node):
    if isinstance(node, dict):
        lost = ("queue", "deployment", "cache-mode")
        return {key: without(value) for key, value in node.items() if key not in lost}
    if isinstance(node, list):
        return [without(each) for each in node]
    if isinstance(node, str):
        return node.replace(OWN, "./.github/workflows/").replace("job.workflow_repository", "github.repository")
    return node


def test_what_tests_do_not_prove_is_listed(root):
    rows = re.findall(r"^\| `([\w.-]+)` \|", (root / "docs/workflows.md").read_text(), re.MULTILINE)
    listed = [row for row in rows if row not in REUSABLE | CALLERS]
    assert sorted(listed) == sorted([each.name for each in (*STUBS.iterdir(), *PROGRAMS.iterdir())])
    assert {row for row in rows if row in REUSABLE | CALLERS} == REUSABLE | CALLERS
