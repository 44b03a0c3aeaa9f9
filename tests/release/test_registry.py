"""Images to a real registry and back: byte for byte, with all that is attached, whatever happens on the way."""

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request

import pytest

from release import distribution, image, registry
from release.distribution import Repository
from release.oci import Layout
from tests.release import registries
from tests.release.workshop import ROOT, evidence, release

NAME = "team/model"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


if registries.program() is None:
    pytest.skip("no registry on PATH (Debian: docker-registry); pushes and fetches: not run", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with registries.running(tmp_path_factory.mktemp("registry") / "registry") as found:
        yield found


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(distribution, "FIRST_PAUSE", 0.01)
    for name in ("REGISTRY_USER", "REGISTRY_TOKEN", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place(address, request):
    """A repository that no other test pushes to."""
    return (
        f"{address}/{request.node.name.lower().replace('[', '-').replace(']', '').replace(' ', '-')[:60].strip('_-')}"
    )


def push(images, name, place):
    return release("push", "--image", images[name], "--to", place, "--layout", str(images.layout))


def fetch(images, name, place, folder):
    return release("fetch", "--image", images[name], "--from", place, "--layout", str(folder))


def test_what_comes_back_is_what_went(images, place, tmp_path):
    outcome = push(images, "one", place)
    assert outcome.code == 0, outcome.error
    outcome = fetch(images, "one", place, tmp_path / "layout")
    assert outcome.code == 0, outcome.error
    there, here = Layout.open(images.layout), Layout.open(tmp_path / "layout")
    digest = images.image("one")
    assert here.blob(digest) == there.blob(digest)
    assert image.read(here, digest) == image.read(there, digest)
    attached = [list(each.referrers(digest, image.REPORTS)) for each in (here, there)]
    assert attached[0] == attached[1]
    assert all(here.read(layer) == there.read(layer) for each in attached[0] for layer in each.layers)


def test_what_came_back_can_be_promoted(alone, images, place, tmp_path):
    push(images, "one", place)
    fetch(images, "one", place, tmp_path / "layout")
    outcome = alone.run("promote", "staging", "--image", images["one"], "--layout", str(tmp_path / "layout"), "--merge")
    assert outcome.code == 0, outcome.error
    assert alone.line("staging") == images["one"]


def test_it_can_be_pulled_by_tag_and_by_digest(images, place, address):
    push(images, "one", place)
    for reference in images["one"].split("@"):
        url = f"http://{address}/v2/{place.partition('/')[2]}/manifests/{reference}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": MANIFEST})) as answer:
            assert answer.headers["Docker-Content-Digest"] == images.image("one")


def test_again_sends_nothing(images, place, tmp_path):
    push(images, "one", place)
    assert "0.0 MB sent" in push(images, "one", place).output
    fetch(images, "one", place, tmp_path / "layout")
    before = sorted((tmp_path / "layout").rglob("*"))
    assert "0.0 MB came" in fetch(images, "one", place, tmp_path / "layout").output
    assert sorted((tmp_path / "layout").rglob("*")) == before


def test_what_is_attached_later_joins_what_is_there(images, place, tmp_path):
    """As a load test does, on another machine: fetch, attach, push."""
    push(images, "two", place)
    layout = tmp_path / "layout"
    fetch(images, "two", place, layout)
    evidence(tmp_path / "reports" / images.digests["two"].removeprefix("sha256:")[:16], "later", images.digests["two"])
    outcome = release(
        "attach", "--image", images["two"], "--layout", str(layout), "--reports", str(tmp_path / "reports")
    )
    assert "loadtest.json" in outcome.output, outcome.error
    (tmp_path / "reports" / images.digests["two"].removeprefix("sha256:")[:16] / "note.md").write_text("looked at\n")
    release("attach", "--image", images["two"], "--layout", str(layout), "--reports", str(tmp_path / "reports"))
    release("push", "--image", images["two"], "--to", place, "--layout", str(layout))
    fetch(images, "two", place, tmp_path / "third")
    digest = images.image("two")
    third = list(Layout.open(tmp_path / "third").referrers(digest, image.REPORTS))
    assert third == list(Layout.open(layout).referrers(digest, image.REPORTS))
    assert len(third) == 2


def test_two_that_attach_at_the_same_time_lose_nothing(images, place, tmp_path):
    """The list is a tag that anybody overwrites; each looks whether what it put there stays."""
    push(images, "three", place)
    digest = images.digests["three"]
    layouts = []
    for name in ("first", "second"):
        layout, reports = tmp_path / name, tmp_path / f"{name}-reports"
        fetch(images, "three", place, layout)
        folder = reports / digest.removeprefix("sha256:")[:16]
        evidence(folder, name, digest)
        (folder / "note.md").write_text(f"{name}\n")
        release("attach", "--image", images["three"], "--layout", str(layout), "--reports", str(reports))
        layouts.append(layout)
    repository = Repository.at(place)
    threads = [
        threading.Thread(target=registry.push, args=(Layout.open(layout), images.image("three"), repository))
        for layout in layouts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for layout in layouts:  # whoever was overwritten after looking puts it right with the next push
        registry.push(Layout.open(layout), images.image("three"), repository)
    fetch(images, "three", place, tmp_path / "both")
    assert len(list(Layout.open(tmp_path / "both").referrers(images.image("three"), image.REPORTS))) == 3


def test_an_image_that_is_not_there_is_one_line(images, place, tmp_path):
    outcome = fetch(images, "one", place, tmp_path / "layout")
    assert outcome.code == 2
    assert outcome.error.count("\n") == 1
    assert "is not there; `release push` brings it" in outcome.error


@pytest.mark.parametrize("trouble", ["cut", "busy", "cut after"])
def test_a_bad_line_is_borne(images, address, tmp_path, trouble):
    """Each kind of request fails the first time, before or after the registry has heard it."""
    name, heard = f"bad-line-{trouble.replace(' ', '-')}", set()

    def first(asked, _):
        kind = asked.method, re.sub("uploads/.*", "uploads/", asked.path)
        known = kind in heard
        heard.add(kind)
        return "" if known else trouble

    with registries.in_front_of(address, first) as line:
        outcome = push(images, "one", f"{line.address}/{name}")
        assert outcome.code == 0, outcome.error
        outcome = fetch(images, "one", f"{line.address}/{name}", tmp_path / "layout")
        assert outcome.code == 0, outcome.error
    assert image.read(Layout.open(tmp_path / "layout"), images.image("one"))


@pytest.mark.parametrize("trouble", ["cut", "busy"])
def test_a_line_that_stays_bad_is_one_line(images, address, trouble):
    with registries.in_front_of(address, lambda asked, times: trouble) as line:
        outcome = push(images, "one", f"{line.address}/dead")
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    assert len(line.asked) < 20


def test_bytes_that_are_not_what_their_digest_says_are_not_taken(images, address, tmp_path):
    push(images, "one", f"{address}/changed")
    with registries.in_front_of(address, lambda asked, times: "wrong" if "/blobs/" in asked.path else "") as line:
        outcome = fetch(images, "one", f"{line.address}/changed", tmp_path / "layout")
    assert outcome.code == 2
    assert "other bytes came" in outcome.error
    assert Layout.open(tmp_path / "layout").index().manifests == ()


@pytest.fixture
def guarded(tmp_path):
    """A registry that wants a token, and where it is to be had."""
    with (
        registries.tokens("robot", "s3cret", tmp_path / "tokens.crt") as giver,
        registries.running(tmp_path / "guarded", f"http://{giver.address}/token", tmp_path / "tokens.crt") as address,
    ):
        yield f"{address}/{NAME}", giver


def test_who_shows_the_token_may_push_and_anybody_may_fetch(guarded, images, tmp_path, monkeypatch):
    place, giver = guarded
    monkeypatch.setenv("REGISTRY_USER", "robot")
    monkeypatch.setenv("REGISTRY_TOKEN", "s3cret")
    assert push(images, "one", place).code == 0
    monkeypatch.delenv("REGISTRY_TOKEN")
    giver.asked.clear()
    assert fetch(images, "one", place, tmp_path / "layout").code == 0
    assert {each.authorization for each in giver.asked} == {""}
    assert all(f"scope=repository%3A{NAME.replace('/', '%2F')}%3Apull" in each.path for each in giver.asked)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_who_does_not_is_told_so_in_one_line_without_the_token(guarded, images, monkeypatch, token):
    place, _ = guarded
    monkeypatch.setenv("REGISTRY_USER", "robot")
    monkeypatch.setenv("REGISTRY_TOKEN", token)
    outcome = push(images, "one", place)
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    assert "REGISTRY_TOKEN" in outcome.error
    assert "wrong" not in outcome.error


def test_a_list_of_what_is_attached_may_hold_what_others_attached(images, place, tmp_path, address):
    """As cosign and GitHub's attestations do: they stay on the list, and an index among them is passed over."""
    push(images, "one", place)
    repository = Repository.at(place)
    tag = images.image("one").replace(":", "-")
    found = json.loads(repository.ask("GET", f"manifests/{tag}", headers=registry.ANY_INDEX).body)
    body = json.dumps({"schemaVersion": 2, "mediaType": registry.INDEX, "manifests": []}).encode()
    repository.ask("PUT", "manifests/foreign", body, {"Content-Type": registry.INDEX}, fine=(201,))
    digest = repository.ask("GET", "manifests/foreign", headers=registry.ANY_INDEX).headers["Docker-Content-Digest"]
    found["manifests"].append({"mediaType": registry.INDEX, "digest": digest, "size": len(body)})
    listing = json.dumps(found).encode()
    repository.ask("PUT", f"manifests/{tag}", listing, {"Content-Type": registry.INDEX}, fine=(201,))
    assert fetch(images, "one", place, tmp_path / "layout").code == 0
    push(images, "one", place)
    after = json.loads(repository.ask("GET", f"manifests/{tag}", headers=registry.ANY_INDEX).body)
    assert digest in {entry["digest"] for entry in after["manifests"]}


def killed_at(address, number, arguments):
    """A release command that is killed with its request of this number; whether it came that far."""
    done = {"reached": False}
    count = itertools.count(1)

    def trouble(asked, _):
        if next(count) == number:
            done["reached"] = True
            process.kill()
            return "cut"
        return ""

    with registries.in_front_of(address, trouble) as front:
        command = [sys.executable, "-m", "release", *arguments(front.address)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
        process.communicate(timeout=60)
    return done["reached"]


@pytest.mark.slow
def test_a_push_that_is_killed_at_any_request_goes_on_with_the_next(images, address, tmp_path):
    def words(front):
        return ["push", "--image", images["two"], "--to", f"{front}/killed", "--layout", str(images.layout)]

    number = 1
    while killed_at(address, number, words):
        repository = Repository.at(f"{address}/killed")
        if registry.has(repository, images.image("two")):  # whoever finds it finds all of it
            assert fetch(images, "two", f"{address}/killed", tmp_path / f"at-{number}").code == 0
            assert list(Layout.open(tmp_path / f"at-{number}").referrers(images.image("two"), image.REPORTS))
        number += 1
    assert number > 8
    assert push(images, "two", f"{address}/killed").code == 0
    assert fetch(images, "two", f"{address}/killed", tmp_path / "layout").code == 0
    (attached,) = Layout.open(tmp_path / "layout").referrers(images.image("two"), image.REPORTS)
    assert attached.layers


@pytest.mark.slow
def test_a_fetch_that_is_killed_at_any_request_goes_on_with_the_next(images, address, tmp_path):
    push(images, "three", f"{address}/killed-fetch")
    number, layout = 1, tmp_path / "layout"

    def words(front):
        return ["fetch", "--image", images["three"], "--from", f"{front}/killed-fetch", "--layout", str(layout)]

    while killed_at(address, number, words):
        number += 1
    assert fetch(images, "three", f"{address}/killed-fetch", layout).code == 0
    (attached,) = Layout.open(layout).referrers(images.image("three"), image.REPORTS)
    assert attached.layers
