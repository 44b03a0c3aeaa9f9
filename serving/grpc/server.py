"""The gRPC port. It knows the application as the HTTP front does, and lives on the same event loop."""

import os
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from contracts.errors import InputError
from serving.asking import ask, joined
from serving.exchange import Handler, Problem
from serving.grpc import messages
from serving.grpc.dialect import Message, Method, methods
from serving.limits import Limits

# A problem's status -> gRPC's word for it.
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",  # not RESOURCE_EXHAUSTED, after which clients try the same again
    422: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
INSTALL = "pip install -r requirements/serve-grpc.txt"
Parse = Callable[[bytes], Message]
OF_HTTP = ("content-type",)  # headers of an answer that mean nothing here


class GrpcServer:
    """Serves `handler` over gRPC. `shared` lets several workers listen on one port."""

    def __init__(self, handler: Handler, limits: Limits, shared: bool = False) -> None:
        self._handler, self._grpc = handler, _library()
        options = (
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.so_reuseport", int(shared)),  # on where nobody says so, and two servers would take turns unnoticed
        )
        self._server = self._grpc.aio.server(options=options, maximum_concurrent_rpcs=limits.queue)
        kinds = messages.classes()
        for service, named in methods().items():
            handlers = {
                name: self._grpc.unary_unary_rpc_method_handler(
                    self._answering(method, getattr(kinds, method.takes).FromString),
                    # Bytes that are no message are ours to refuse; the library would write a stack trace for each.
                    request_deserializer=None,
                    response_serializer=lambda message: message.SerializeToString(),
                )
                for name, method in named.items()
            }
            generic = self._grpc.method_handlers_generic_handler(service, handlers)
            self._server.add_generic_rpc_handlers((generic,))

    async def listen(self, host: str, port: int) -> str:
        """Open the port (0: any free one) and give its address; raises InputError when it cannot be had."""
        place = f"[{host}]" if ":" in host else host
        try:
            bound = self._server.add_insecure_port(f"{place}:{port}")
        except RuntimeError as error:
            reason = "cannot be opened; stop what holds it or choose another one"
            raise InputError(f"{place}:{port}: grpc-port: {reason}") from error
        await self._server.start()
        return f"{place}:{bound}"

    async def close(self, seconds: float) -> None:
        """Take no new calls, and give those that have begun some seconds to end."""
        await self._server.stop(seconds)

    def _answering(self, method: Method, parse: Parse) -> Callable[[bytes, Any], Awaitable[Message]]:
        async def answer(data: bytes, context: Any) -> Message:
            told = (
                (key, text if isinstance(text, bytes) else text.encode()) for key, text in context.invocation_metadata()
            )
            headers = joined((key.encode(), text) for key, text in told)
            try:
                message = parse(data)
                response = await ask(self._handler, method.ask(message, headers))
            except DecodeError:
                detail = f"the bytes are no {method.takes} of the protocol; send one"
                response = self._handler.refuse(Problem(400, "invalid_request", detail), headers)
            except Problem as problem:
                response = self._handler.refuse(problem, headers)
            metadata = [(name.decode(), text.decode()) for name, text in response.headers]
            context.set_trailing_metadata([pair for pair in metadata if pair[0] not in OF_HTTP])
            if response.status != 200 and not (response.status == 503 and method.not_ready):
                status = getattr(self._grpc.StatusCode, STATUS.get(response.status, "UNKNOWN"))
                await context.abort(status, msgspec.json.decode(response.body)["error"])
            return method.tell(message, response)

        return answer


def _library() -> ModuleType:
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it writes news about itself to stderr
    try:
        import grpc.aio
    except ImportError:
        raise InputError(f"--grpc-port: grpcio is not installed; {INSTALL}") from None
    return grpc
