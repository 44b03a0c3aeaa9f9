"""A merge to main: a model that changed goes to staging as a pull request; a merged promotion starts nothing."""

import pytest

from release import pin
from tests.workflows import payloads

STAGING = pin.path("staging")


def pushed(lab, before, **options):
    return lab.run("main", "push", payloads.push(lab.site.slug, before, lab.site.tip), **options)


def test_a_merged_promotion_is_rendered_and_reported_and_trains_nothing(lab):
    before = lab.site.tip
    lab.released("staging", lab.publish(0.0))
    run = pushed(lab, before)
    assert run.code == 0, run.text
    assert run.jobs == {"main/what it touches": "success", "gitops-checks/gitops-checks/render": "success"}
    assert run.outputs["main/what it touches", "changes", "trains"] == "false"
    assert run.step("Rendered, and fresh") == run.step("Each environment renders") == "success"
    assert f"{lab.site.pin('staging').tag}" in run.summary
    assert not [line for line in run.said if line.startswith("prepared")]
    assert lab.hub.writes() == []


@pytest.mark.slow
def test_documents_are_tested_and_train_nothing(lab):
    before = lab.site.tip
    lab.site.append("docs/release.md", "\nOne more line.\n")
    lab.site.push("A document")
    run = pushed(lab, before)
    assert run.code == 0, run.text
    versions = [f"test/test/test (Python 3.{minor})-{leg}" for leg, minor in enumerate((11, 12, 13), 1)]
    others = ["lint", "demo", "manifests (kustomize 5.8.3)"]
    assert set(run.jobs) == {
        "main/what it touches",
        "gitops-checks/gitops-checks/render",
        *versions,
        *(f"test/test/{name}" for name in others),
    }
    assert set(run.jobs.values()) == {"success"}
    assert run.said.count("module pytest -m not slow and not cluster") == 3
    assert "module demo" in run.said
    assert "go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.3" in run.said


@pytest.mark.slow
def test_a_changed_model_goes_to_staging_as_a_pull_request_with_its_evidence(lab):
    before = lab.site.tip
    lab.change_the_model()
    run = pushed(lab, before)
    assert run.code == 0, run.text
    jobs = {name.partition("/")[2]: result for name, result in run.jobs.items()}
    for job in ("train/train", "image/build", "image/publish", "loadtest/measure", "loadtest/attach"):
        assert jobs[job] == "success"
    assert jobs["promote/promote to staging"] == "success"

    released = run.outputs["image/image/build", "build", "pin"]
    digest = released.rpartition("@")[2]
    assert digest in lab.store.digests("models/tiny")
    said = [line for line in run.said if not line.startswith(("module", "syft"))]
    assert said == [
        "prepared run",
        f"docker login {lab.store.address} --username nektos/act --password-stdin",
        f"cosign sign --yes {lab.image}@{digest}",
        f"attest {lab.image}@{digest}",
        f"attest {lab.image}@{digest} data/sbom.spdx.json",
        f"gh attestation verify oci://{lab.image}@{digest} --repo {lab.site.slug} "
        f"--signer-workflow {lab.site.slug}/.github/workflows/image.yml --source-ref refs/heads/main",
        "app-token contents pull-requests statuses",
    ]

    (pull,) = lab.hub.open_pulls()
    assert (pull.base, pull.head) == ("main", f"promote/staging/{digest.removeprefix('sha256:')[:12]}")
    assert lab.numstat("main", pull.head) == [f"1\t1\t{STAGING}"]
    assert str(lab.site.pin("staging", pull.head)) == released
    assert "p99" in pull.body
    assert "prepared" not in pull.body
    assert lab.site.pin("staging").digest == ""  # nobody merged it


@pytest.mark.slow
def test_without_an_app_a_promotion_says_what_to_do_by_hand(lab):
    del lab.variables["RELEASE_APP_CLIENT_ID"]
    lab.secrets.clear()
    before = lab.site.tip
    lab.change_the_model()
    run = pushed(lab, before)
    assert run.code == 0, run.text
    (notice,) = [each for each in run.annotations if each.level == "notice"]
    assert notice.title == "Not promoted"
    assert run.outputs["image/image/build", "build", "pin"] in notice.text
    assert not run.ran("Promote")
    assert lab.hub.writes() == []
