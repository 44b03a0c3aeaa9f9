"""For fronts that hold headers as a list and await an answer: what the application wants, and what they want."""

import asyncio
from collections.abc import Iterable

from serving.exchange import Handler, Request, Response


async def ask(handler: Handler, request: Request) -> Response:
    """The answer to a request. Where nobody waits for it any more, the client has gone, it is dropped."""
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def reply(response: Response) -> None:
        if not answered.done():
            answered.set_result(response)

    handler.handle(request, reply)
    return await answered


def joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name; one that is there twice has its values joined."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        name = name.lower()
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
