"""Asking an application for fronts that await an answer instead of being called back."""

import asyncio

from serving.exchange import Handler, Request, Response


async def ask(handler: Handler, request: Request) -> Response:
    """The answer to a request. Where nobody waits for it any more, the client has gone, it is dropped."""
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def reply(response: Response) -> None:
        if not answered.done():
            answered.set_result(response)

    handler.handle(request, reply)
    return await answered
