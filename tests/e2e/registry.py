"""Images from an OCI layout to a registry, byte for byte, so that the digest stays what the promotion names."""

import http.client
from urllib.parse import urljoin, urlsplit

from contracts.errors import InputError
from release.oci import MANIFEST, Layout


class Registry:
    """A registry that takes pushes without a token: http://host:port or https://host."""

    def __init__(self, address: str) -> None:
        self.address = address if "://" in address else f"https://{address}"

    def push(self, layout: Layout, digest: str, name: str) -> int:
        """Push the image of this digest under a repository's name; gives the bytes that had to be sent."""
        manifest = layout.manifest(digest)
        sent = 0
        for part in (manifest.config, *manifest.layers):
            if self._ask("HEAD", f"/v2/{name}/blobs/{part.digest}")[0] != 200:
                sent += self._put(name, part.digest, layout.read(part))
        body = layout.blob(digest)
        status, text, _ = self._ask("PUT", f"/v2/{name}/manifests/{digest}", body, manifest.media_type or MANIFEST)
        if status != 201:
            raise InputError(f"{self.address}: {name}@{digest}: is not taken: {status} {text}")
        return sent + len(body)

    def has(self, name: str, digest: str) -> bool:
        """Is the image there?"""
        return self._ask("HEAD", f"/v2/{name}/manifests/{digest}", accept=MANIFEST)[0] == 200

    def forget(self, name: str, digest: str) -> None:
        """Have it lose an image."""
        status, text, _ = self._ask("DELETE", f"/v2/{name}/manifests/{digest}")
        if status != 202:
            raise InputError(f"{self.address}: {name}@{digest}: is not forgotten: {status} {text}")

    def _put(self, name: str, digest: str, data: bytes) -> int:
        status, text, place = self._ask("POST", f"/v2/{name}/blobs/uploads/", b"")
        if status == 202:
            place = urljoin(f"{self.address}/", place)
            query = f"{'&' if '?' in place else '?'}digest={digest}"
            status, text, _ = self._ask("PUT", f"{place}{query}", data, "application/octet-stream")
        if status != 201:
            raise InputError(f"{self.address}: {name}: {digest}: is not taken: {status} {text}")
        return len(data)

    def _ask(
        self, method: str, place: str, data: bytes | None = None, kind: str = "", accept: str = "*/*"
    ) -> tuple[int, str, str]:
        url = urlsplit(urljoin(f"{self.address}/", place))
        made = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = made(url.netloc, timeout=60)
        try:
            headers = {"Accept": accept} | ({"Content-Type": kind} if kind else {})
            target = f"{url.path}?{url.query}" if url.query else url.path
            connection.request(method, target, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")[:300]
            return answer.status, text, answer.headers.get("Location", "")
        except OSError as error:
            raise InputError(f"{self.address}: registry: {error}; E2E_REGISTRY names it") from error
        finally:
            connection.close()
