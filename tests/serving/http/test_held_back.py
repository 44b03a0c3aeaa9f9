"""A client that asks much at once: how much of it is looked at, and that none of it is forgotten."""

from pathlib import Path
from types import SimpleNamespace

from serving.exchange import Problem
from serving.http.connection import Connection
from serving.limits import Limits
from tests.serving.sites import Site

REQUEST = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"


class Transport:
    """Says whether it is read from."""

    def __init__(self) -> None:
        self.reading, self.written = True, b""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data


class Desk:
    """A connection of which at most two requests are in hand, and the replies that it waits for."""

    def __init__(self, folder: Path) -> None:
        self.site, self.replies = Site(folder), []
        handler = SimpleNamespace(
            handle=lambda request, reply: self.replies.append(reply), refuse=self.site.clients.refuse
        )
        host = SimpleNamespace(
            handler=handler,
            limits=Limits(pipelined=2),
            draining=False,
            date=b"",
            now=lambda: 0.0,
            idle_deadline=0.0,
            admit=lambda connection: True,
            forget=lambda connection: None,
        )
        self.connection, self.transport = Connection(host), Transport()
        self.connection.connection_made(self.transport)

    def answer(self, number: int) -> None:
        self.replies[number](self.site.clients.refuse(Problem(503, "overloaded", f"number {number}"), {}))


def test_who_reads_again_is_read_from_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.connection.data_received(REQUEST * 2)
    assert not desk.transport.reading  # as much is asked as may be
    desk.connection.pause_writing()
    desk.answer(0)
    desk.answer(1)
    desk.connection.resume_writing()
    assert desk.transport.reading


def test_what_one_read_holds_beyond_that_is_asked_as_answers_leave(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.connection.data_received(REQUEST * 5)
    assert len(desk.replies) == 2
    for number, in_hand in enumerate([3, 4, 5, 5, 5]):
        desk.answer(number)
        assert len(desk.replies) == in_hand
    assert desk.transport.reading
    places = [desk.transport.written.index(b"number %d" % number) for number in range(5)]
    assert places == sorted(places)


def test_thousands_in_one_read_are_answered_though_each_answer_comes_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.connection.data_received(REQUEST * 2)
    desk.connection._handle = desk.site.clients.handle
    desk.connection.data_received(REQUEST * 3000)
    desk.answer(0)
    desk.answer(1)
    assert desk.transport.written.count(b"HTTP/1.1 ") == 3002
