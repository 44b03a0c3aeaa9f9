"""A registry as the store between jobs: an image and all that is attached to it, from a layout and back, by digest.

Every byte stays what it was, so that a digest means the same in the layout, the registry and the cluster. Blobs go
first and come first, what names them last, and the image itself after its reports: killed at any step, the next run
goes on, and who finds an image finds all that was pushed with it. (The specification has a registry take what is about
an image that it does not have yet.) Where a registry lacks the referrers API (GHCR, distribution), the list of what is
attached stands under the tag `sha256-<hex>`, as the specification asks of clients.
"""

import contextlib
from http import HTTPStatus

import msgspec
from msgspec import Struct

from contracts.errors import InputError
from release import image
from release.distribution import Answer, Answered, Repository
from release.oci import DOCKER_MANIFEST, INDEX, LARGEST_DOCUMENT, MANIFEST, Descriptor, Index, Layout, Manifest, encode

ATTEMPTS = 5  # at a list of referrers that somebody else writes, too
ANY_MANIFEST = {"Accept": f"{MANIFEST}, {DOCKER_MANIFEST}"}
ANY_INDEX = {"Accept": INDEX}
OCTETS = {"Content-Type": "application/octet-stream"}
UPLOADS = 3  # of one blob
MISSING = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)


class Moved(Struct, frozen=True):
    """What went over: the image, what is attached to it, and the bytes that were not there yet."""

    digest: str
    attached: tuple[str, ...]
    bytes: int


def push(layout: Layout, digest: str, repository: Repository) -> Moved:
    """Bring an image and its referrers into the repository, under its tag and its digest.

    Raises InputError when the layout does not have it whole, or the registry does not take it.
    """
    about = image.read(layout, digest)
    referrers = [entry for entry in layout.index().manifests if _is_about(layout, entry, digest)]
    sent, unlisted = 0, []
    for entry in referrers:
        size, listed = _push_referrer(layout, repository, entry.digest)
        sent += size
        if not listed:
            unlisted.append(_described(layout, entry))
    if unlisted:
        _list(repository, digest, unlisted)
    sent += _push_manifest(layout, repository, digest, about.pin.tag)
    return Moved(digest, tuple(entry.artifact_type or "" for entry in referrers), sent)


def fetch(layout: Layout, digest: str, repository: Repository) -> Moved:
    """Bring an image and its referrers from the repository into the layout; what is there already is not asked for.

    Raises InputError when the repository does not have them, or gives other bytes than their digests say.
    """
    manifest, got = _fetch_manifest(layout, repository, digest)
    stored = Descriptor(
        media_type=manifest.media_type or MANIFEST, digest=digest, size=len(layout.blob(digest, LARGEST_DOCUMENT))
    )
    image.read(layout, digest)
    attached = []
    for entry in _referrers(repository, digest):
        if entry.media_type != MANIFEST:
            continue  # an index about an image: nothing of ours, and nothing that is read here
        about, size = _fetch_manifest(layout, repository, entry.digest)
        if about.subject is None or about.subject.digest != digest:
            raise InputError(f"{repository}: {entry.digest}: is listed as about {digest}, and is not")
        kind = about.artifact_type or about.config.media_type
        layout.add(Descriptor(media_type=MANIFEST, digest=entry.digest, size=entry.size, artifact_type=kind))
        attached.append(kind)
        got += size
    image.admit(layout, stored)
    return Moved(digest, tuple(attached), got)


def has(repository: Repository, digest: str) -> bool:
    """Is a manifest there?"""
    return repository.ask("HEAD", f"manifests/{digest}", headers=ANY_MANIFEST, fine=MISSING).status == HTTPStatus.OK


# --- to the registry


def _push_manifest(layout: Layout, repository: Repository, digest: str, reference: str) -> int:
    """Blobs, then the manifest under a tag; gives the bytes that were sent."""
    manifest = layout.manifest(digest)
    sent = sum(_push_blob(layout, repository, part) for part in (manifest.config, *manifest.layers))
    answer = _put(repository, reference, layout.blob(digest), manifest.media_type or MANIFEST)
    said = answer.headers.get("Docker-Content-Digest", digest)
    if said != digest:
        raise InputError(f"{repository}: {digest}: became {said} there; a registry that changes images cannot be used")
    return sent


def _push_referrer(layout: Layout, repository: Repository, digest: str) -> tuple[int, bool]:
    """An artifact about an image; also, whether the registry keeps the list of them itself."""
    manifest = layout.manifest(digest)
    sent = sum(_push_blob(layout, repository, part) for part in (manifest.config, *manifest.layers))
    answer = _put(repository, digest, layout.blob(digest), MANIFEST)
    return sent, "OCI-Subject" in answer.headers


def _push_blob(layout: Layout, repository: Repository, part: Descriptor) -> int:
    """An upload that was cut may have come as a whole all the same; so each attempt asks first."""
    for attempt in range(UPLOADS):
        if repository.ask("HEAD", f"blobs/{part.digest}", fine=MISSING).status == HTTPStatus.OK:
            return 0
        try:
            return _upload(repository, part.digest, layout.read(part))
        except InputError:
            if attempt + 1 == UPLOADS:
                raise
    return 0


def _upload(repository: Repository, digest: str, data: bytes) -> int:
    begun = repository.ask("POST", "blobs/uploads/", b"", fine=(HTTPStatus.ACCEPTED,))
    where = begun.headers.get("Location", "")
    end = f"{where}{'&' if '?' in where else '?'}digest={digest}"
    repository.ask("PUT", end, data, OCTETS, fine=(HTTPStatus.CREATED,), again=False)
    return len(data)


def _put(repository: Repository, reference: str, body: bytes, kind: str) -> Answer:
    return repository.ask("PUT", f"manifests/{reference}", body, {"Content-Type": kind}, fine=(HTTPStatus.CREATED,))


def _list(repository: Repository, digest: str, wanted: list[Descriptor]) -> None:
    """Put artifacts on the list under the image's tag; again, when somebody else wrote it in between."""
    for _ in range(ATTEMPTS):
        there = _tagged(repository, digest)
        known = {entry.digest for entry in there}
        more = [entry for entry in wanted if entry.digest not in known]
        if not more:
            return
        _put(repository, _tag(digest), encode(Index(manifests=(*there, *more))), INDEX)
    raise InputError(f"{repository}: {_tag(digest)}: others write the list of what is attached all the time; try again")


def _described(layout: Layout, entry: Descriptor) -> Descriptor:
    manifest = layout.manifest(entry.digest)
    kind = manifest.artifact_type or manifest.config.media_type
    return Descriptor(
        media_type=MANIFEST,
        digest=entry.digest,
        size=entry.size,
        artifact_type=kind,
        annotations=manifest.annotations,
    )


def _is_about(layout: Layout, entry: Descriptor, digest: str) -> bool:
    if entry.artifact_type is None:
        return False
    subject = layout.manifest(entry.digest).subject
    return subject is not None and subject.digest == digest


# --- from the registry


def _fetch_manifest(layout: Layout, repository: Repository, digest: str) -> tuple[Manifest, int]:
    """A manifest with its blobs, verified; gives the bytes that came."""
    got = 0
    if not _holds(layout, digest):
        body = _manifest_bytes(repository, digest)
        if layout.put(body, MANIFEST).digest != digest:
            raise InputError(f"{repository}: {digest}: other bytes came than that; ask again, or trust it no more")
        got = len(body)
    manifest = layout.manifest(digest)
    for part in (manifest.config, *manifest.layers):
        if _holds(layout, part.digest):
            continue
        body = repository.ask("GET", f"blobs/{part.digest}", limit=part.size).body
        if layout.put(body, part.media_type).digest != part.digest:
            raise InputError(f"{repository}: {part.digest}: other bytes came than that; ask again, or trust it no more")
        got += len(body)
    return manifest, got


def _manifest_bytes(repository: Repository, digest: str) -> bytes:
    try:
        return repository.ask("GET", f"manifests/{digest}", headers=ANY_MANIFEST, limit=LARGEST_DOCUMENT).body
    except Answered as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise InputError(f"{repository}: {digest}: is not there; `release push` brings it") from error


def _referrers(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    """What is attached to an image: by the registry's API, or by the list under its tag."""
    answer = repository.ask(
        "GET",
        f"referrers/{digest}",
        headers=ANY_INDEX,
        fine=(*MISSING, HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED),
    )
    found = _index(repository, answer.body).manifests if answer.status == HTTPStatus.OK else ()
    known = {entry.digest for entry in found}
    return (*found, *(entry for entry in _tagged(repository, digest) if entry.digest not in known))


def _tagged(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    answer = repository.ask("GET", f"manifests/{_tag(digest)}", headers=ANY_INDEX, fine=MISSING)
    return _index(repository, answer.body).manifests if answer.status == HTTPStatus.OK else ()


def _tag(digest: str) -> str:
    return digest.replace(":", "-")


def _index(repository: Repository, body: bytes) -> Index:
    try:
        return msgspec.json.decode(body, type=Index)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{repository}: the list of what is attached: {error}; delete it there, and push again"
        ) from error


def _holds(layout: Layout, digest: str) -> bool:
    with contextlib.suppress(InputError):
        return bool(layout.blob(digest))
    return False
