"""The bill of materials: made once, attached to its image, and one line where it cannot be made."""

import json

import pytest

from release import image, sbom
from release.oci import Layout
from tests import bundles as tiny
from tests.release.workshop import ROOT, release


@pytest.fixture
def bundle(tmp_path):
    return tiny.write(tmp_path / "bundles")


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "registry")


@pytest.fixture
def built(bundle, layout):
    return image.build(bundle.path, layout, ROOT)


SPDX = {"spdxVersion": "SPDX-2.3", "packages": [{"name": "numpy", "versionInfo": "2.4.6"}, {"name": "rainy-days"}]}


def bill(layout, built, *more):
    return release("sbom", "--image", str(built.pin), "--layout", str(layout.path), *more)


def test_the_bill_of_materials_is_made_once_and_stays_with_the_image(tmp_path, layout, built, programs):
    programs("syft", f"echo \"$@\" >> {tmp_path}/said; echo '{json.dumps(SPDX)}'")
    for said in ("attached", "is attached"):
        outcome = bill(layout, built, "--to", str(tmp_path / "sbom.json"))
        assert outcome.code == 0, outcome.error
        assert outcome.output == f"{built.digest}: SPDX-2.3 with 2 packages {said}\n"
    assert len((tmp_path / "said").read_text().splitlines()) == 1
    assert json.loads((tmp_path / "sbom.json").read_text()) == SPDX
    (artifact,) = layout.referrers(built.digest, sbom.SPDX)
    assert (artifact.subject.digest, artifact.layers[0].annotations) == (built.digest, {sbom.TITLE: sbom.NAME})
    assert bill(layout, built, "--again").code == 0
    assert len((tmp_path / "said").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [(None, "install it"), ("echo 'no such image' >&2; exit 1", "no such image"), ("echo nonsense", "is no SPDX")],
)
def test_where_no_bill_can_be_made_one_line_says_why_and_nothing_is_attached(layout, built, programs, script, reason):
    if script:
        programs("syft", script)
    outcome = bill(layout, built)
    assert outcome.code == 2
    assert reason in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert sbom.attached(built, layout) is None
