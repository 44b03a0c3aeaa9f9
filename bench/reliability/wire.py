"""A client that sends whatever bytes it is given, and looks hard at what comes back."""

import json
import re
import socket
import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z \-']+\r\n")
BY_DESIGN = (503, 504)  # answers of 5xx that are no failure: too busy, too late
NEVER = (501, 505)  # what this server does not speak
MEMBERS = {"title", "status", "detail", "code", "error", "request_id"}


class Answer(Struct, frozen=True):
    """One whole answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> dict:
        """Its body."""
        found: dict = json.loads(self.body)
        return found


class Heard(Struct, frozen=True):
    """All that came on a connection: answers, what was no answer, and whether the server ended it."""

    answers: list[Answer]
    rest: bytes
    ended: bool

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


def say(port: int, parts: Sequence[bytes], answers: int = 1, hang_up: bool = False, patience: float = 10.0) -> Heard:
    """Send these parts, each in a packet of its own, and listen until so many answers, the end, or no patience.

    `hang_up` says to the server that nothing more will come, and listens until it ends the connection.
    """
    with connect(port) as connection:
        send(connection, parts)
        if hang_up:
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:  # it has ended already
                pass
        return listen(connection, 1 << 30 if hang_up else answers, patience)


def connect(port: int) -> socket.socket:
    """A connection."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(connection: socket.socket, parts: Iterable[bytes]) -> None:
    """Send; a server may have heard enough amid it."""
    try:
        for part in parts:
            connection.sendall(part)
    except (BrokenPipeError, ConnectionResetError):
        pass


def listen(connection: socket.socket, count: int, patience: float, heads: Iterable[int] = ()) -> Heard:
    """What comes; `heads` are the numbers of the answers that have no body, to HEAD."""
    found: list[Answer] = []
    data, ended, without = b"", False, set(heads)
    deadline = time.monotonic() + patience
    while len(found) < count:
        read = one(data, len(found) in without)
        if read is not None:
            answer, data = read
            if answer.status >= 200:
                found.append(answer)
            continue
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = connection.recv(1 << 16)
        except TimeoutError:
            break
        except ConnectionResetError:
            ended = True
            break
        if not more:
            ended = True
            break
        data += more
    return Heard(found, data, ended)


def one(data: bytes, without_body: bool = False) -> tuple[Answer, bytes] | None:
    """The first whole answer in these bytes, and what comes after it."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    status = STATUS.match(head + b"\r\n")
    if status is None:
        return None
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    size = 0 if without_body or status[1][0:1] == b"1" else int(headers.get(b"content-length", b"0"))
    if len(rest) < size:
        return None
    return Answer(int(status[1]), headers, rest[:size]), rest[size:]


def flaw(answer: Answer) -> str:
    """What is wrong with an answer whatever the question was, or ""."""
    if answer.status >= 500 and answer.status not in (*BY_DESIGN, *NEVER):
        return f"status {answer.status}"
    for name in (b"x-bundle-digest", b"x-model-version", b"x-request-id", b"content-length", b"date"):
        if name not in answer.headers:
            return f"no {name.decode()}"
    if answer.status < 400:
        return ""
    if answer.headers.get(b"content-type") != b"application/problem+json":
        return f"{answer.status} is no problem document"
    if not answer.body:
        return ""  # to HEAD
    try:
        document = answer.json()
    except ValueError:
        return f"{answer.status}: not JSON"
    if not document.keys() >= MEMBERS or document["status"] != answer.status:
        return f"{answer.status}: not the members of a problem document"
    if "Traceback" in document["detail"] or 'File "' in document["detail"]:
        return f"{answer.status}: a stack trace"
    return ""
