"""The gRPC front: its messages are the protocol's, its answers and refusals those of REST."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio
import numpy as np
import pytest

from contracts.errors import InputError
from serving import endpoints
from serving.application import Application, served_version
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.exchange import Problem
from serving.grpc import messages, server
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from serving.scheduling import EventLoop
from tests import bundles, servers

KINDS = messages.classes()
ROWS = {"station": ["north", "ö"], "temperature": [1.5, float("nan")], "hour": [3, 4], "holiday": [True, False]}
RAW = [
    b"\x05\0\0\0north\x02\0\0\0\xc3\xb6",
    np.array(ROWS["temperature"], "<f4").tobytes(),
    np.array(ROWS["hour"], "<i8").tobytes(),
    b"\1\0",
]
DATATYPES = {"station": "BYTES", "temperature": "FP32", "hour": "INT64", "holiday": "BOOL"}
CONTENTS = {
    "station": {"bytes_contents": [name.encode() for name in ROWS["station"]]},
    "temperature": {"fp32_contents": ROWS["temperature"]},
    "hour": {"int64_contents": ROWS["hour"]},
    "holiday": {"bool_contents": ROWS["holiday"]},
}


class KeyGuard:
    """Lets in whoever knows the word."""

    schemes = ("api_key",)
    epoch = 0

    def check(self, headers: dict[bytes, bytes], scope: str) -> int:
        if headers.get(b"x-api-key") != b"sesame":
            raise Problem(401, "unauthorized", "say the word", headers=((b"www-authenticate", b"Bearer"),))
        return -1


class Client:
    """Asks a server of this process."""

    def __init__(self, channel: grpc.aio.Channel, application: Application, readiness: Readiness, model: Model) -> None:
        self.channel, self.application, self.readiness, self.model = channel, application, readiness, model

    async def ask(self, name: str, message: object, reply: str, service: str = messages.INFERENCE, **more: object):
        call = self.channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(KINDS, reply).FromString,
        )
        return await call(message, **more)

    async def infer(self, message: object, **more: object):
        return await self.ask("ModelInfer", message, "ModelInferResponse", **more)

    async def refusal(self, message: object, **more: object) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.infer(message, **more)
        return refused.value.code().name, refused.value.details()


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Callable[[Client], Awaitable[None]]], None]:
    """Runs a story against a server over the tiny bundle."""

    def tell(story: Callable[[Client], Awaitable[None]], guard: KeyGuard | None = None, **limits: int) -> None:
        async def act() -> None:
            model = Model(bundles.write(tmp_path / "store"))
            counters, readiness = Metrics(model.bundle, served_version(model.bundle)), Readiness()
            bounds = Limits(**{"rows": 100, **limits})
            batcher = Batcher(model, counters, bounds, EventLoop(asyncio.get_running_loop()))
            application = endpoints.inference(model, counters, readiness, bounds, batcher, guard)
            front = server.GrpcServer(application, bounds)
            address = await front.listen("127.0.0.1", 0)
            readiness.ready = True
            try:
                async with grpc.aio.insecure_channel(address) as channel:
                    await story(Client(channel, application, readiness, model))
            finally:
                await front.close(1.0)

        asyncio.run(act())

    return tell


def typed(**changes: dict) -> object:
    """A request with values in the messages; a change is a column's contents."""
    message = KINDS.ModelInferRequest(model_name="rainy-days")
    for name, contents in {**CONTENTS, **changes}.items():
        rows = len(next(iter(contents.values())))
        message.inputs.add(name=name, datatype=DATATYPES[name], shape=[rows], contents=contents)
    return message


def raw(data: list[bytes] = RAW) -> object:
    """The same with raw bytes."""
    message = KINDS.ModelInferRequest(model_name="rainy-days", model_version="1", id="seven", raw_input_contents=data)
    for name, datatype in DATATYPES.items():
        message.inputs.add(name=name, datatype=datatype, shape=[2])
    return message


DESCRIBE = """
import json
from tritonclient.grpc import service_pb2
def fields(kind):
    told = {}
    for field in kind.fields:
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        inner = fields(field.message_type) if field.message_type is not None and field.message_type is not kind else None
        one_of = field.containing_oneof is not None
        told[str(field.number)] = [field.name, field.type, field.is_repeated, entry, one_of, inner]
    return told
print(json.dumps({name: fields(kind) for name, kind in service_pb2.DESCRIPTOR.message_types_by_name.items()}))
"""


def test_the_messages_are_those_of_a_public_client(environments: dict[str, Path]) -> None:
    done = subprocess.run([environments["clients"], "-c", DESCRIBE], check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout)
    found: dict = {}
    exec(DESCRIBE.partition("print(")[0].replace("from tritonclient.grpc import service_pb2", ""), found)
    ours = {
        name: json.loads(json.dumps(found["fields"](getattr(KINDS, name).DESCRIPTOR))) for name in messages.MESSAGES
    }
    health = {name for name in ours if name.startswith("HealthCheck")}
    nested = {"TensorMetadata", "InferInputTensor", "InferRequestedOutputTensor", "InferOutputTensor"}
    assert health
    assert set(ours) - health - nested <= set(theirs)
    for name in set(ours) - health - nested:
        assert ours[name] == theirs[name], name


def test_values_and_raw_bytes_are_answered_in_kind(told) -> None:
    async def story(client: Client) -> None:
        expected = client.model.predict(ROWS)["probability"].tolist()
        reply = await client.infer(typed())
        assert list(reply.outputs[0].contents.fp32_contents) == expected
        assert (reply.model_name, reply.model_version, list(reply.raw_output_contents)) == ("rainy-days", "1", [])
        assert reply.parameters["bundle_digest"].string_param == client.model.bundle.digest
        reply = await client.infer(raw())
        assert np.frombuffer(reply.raw_output_contents[0], "<f4").tolist() == expected
        assert (reply.id, reply.outputs[0].name, list(reply.outputs[0].shape)) == ("seven", "probability", [2])
        assert not reply.outputs[0].HasField("contents")

    told(story)


def test_calls_that_come_together_share_a_batch_and_nothing_else(told) -> None:
    async def story(client: Client) -> None:
        requests = [typed(hour={"int64_contents": [hour, hour]}) for hour in range(20)]
        replies = await asyncio.gather(*map(client.infer, requests))
        for hour, reply in enumerate(replies):
            expected = client.model.predict({**ROWS, "hour": [hour, hour]})["probability"].tolist()
            assert list(reply.outputs[0].contents.fp32_contents) == pytest.approx(expected, abs=1e-6)

    told(story)


def test_what_is_refused_is_refused_with_the_word_that_grpc_has_for_it(told) -> None:
    async def story(client: Client) -> None:
        other = typed()
        other.model_name = "other"
        assert await client.refusal(other) == ("NOT_FOUND", "there is no such model here; this server has rainy-days")
        assert (await client.refusal(typed(hour={"int64_contents": [1]})))[0] == "INVALID_ARGUMENT"
        code, details = await client.refusal(typed(temperature={"fp32_contents": [float("inf"), 1.0]}))
        assert (code, details.partition(":")[0]) == ("INVALID_ARGUMENT", "temperature")
        assert "raw_input_contents" in (await client.refusal(raw(RAW[:2])))[1]
        assert "station" in (await client.refusal(raw([b"\xff\xff\xff\xff", *RAW[1:]])))[1]
        both = raw()
        both.inputs[0].contents.bytes_contents.append(b"x")
        assert "raw_input_contents" in (await client.refusal(both))[1]
        small = typed()
        small.inputs[2].datatype = "INT8"
        small.inputs[2].contents.int_contents.extend([1, 300])
        assert "INT8" in (await client.refusal(small))[1]
        strange = typed()
        strange.inputs[0].datatype = "STRING"
        assert "station: has a datatype" in (await client.refusal(strange))[1]
        wished = typed()
        wished.outputs.add(name="other")
        assert "outputs[0].name" in (await client.refusal(wished))[1]
        many = {name: {kind: list(values) * 60 for kind, values in held.items()} for name, held in CONTENTS.items()}
        assert (await client.refusal(typed(**many)))[0] == "INVALID_ARGUMENT"

    told(story)


def test_bytes_that_are_no_message_are_refused_as_everything_is(told, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(client: Client) -> None:
        for data in (b"nonsense", b"\x0a\x02\xff\xff"):  # the second one: a name that is not UTF-8
            with pytest.raises(grpc.aio.AioRpcError, match="the bytes are no ModelInferRequest") as refused:
                await client.channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer")(data)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert client.application.counters.rejected["invalid_request"] == 2

    told(story)
    assert capfd.readouterr().err == ""


def test_a_message_beyond_the_limit_is_not_read(told) -> None:
    async def story(client: Client) -> None:
        assert (await client.refusal(typed(), timeout=10))[0] == "RESOURCE_EXHAUSTED"

    told(story, body_bytes=50)


def test_every_answer_says_who_gave_it(told) -> None:
    async def story(client: Client) -> None:
        call = client.channel.unary_unary(f"/{messages.INFERENCE}/ServerLive")(b"", metadata=(("x-request-id", "abc"),))
        assert await call == b"\x08\x01"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.infer(typed(), metadata=(("content-encoding", "gzip"), ("x-request-id", "def")))
        refusal = dict(refused.value.trailing_metadata())
        assert (refusal["x-request-id"], refusal["accept-encoding"]) == ("def", "identity")
        metadata = dict(await call.trailing_metadata())
        assert metadata["x-bundle-digest"] == client.model.bundle.digest
        assert (metadata["x-model-version"], metadata["x-request-id"]) == ("1", "abc")

    told(story)


def test_health_and_metadata(told) -> None:
    async def story(client: Client) -> None:
        async def ready() -> list[object]:
            name = {"name": "rainy-days"}
            return [
                (await client.ask("ServerReady", KINDS.ServerReadyRequest(), "ServerReadyResponse")).ready,
                (await client.ask("ModelReady", KINDS.ModelReadyRequest(**name), "ModelReadyResponse")).ready,
                (await client.ask("Check", KINDS.HealthCheckRequest(), "HealthCheckResponse", messages.HEALTH)).status,
            ]

        assert await ready() == [True, True, messages.SERVING]
        client.readiness.ready = False
        assert await ready() == [False, False, messages.NOT_SERVING]
        server = await client.ask("ServerMetadata", KINDS.ServerMetadataRequest(), "ServerMetadataResponse")
        assert server.name == "slipway"
        about = KINDS.ModelMetadataRequest(name="rainy-days", version="1")
        model = await client.ask("ModelMetadata", about, "ModelMetadataResponse")
        assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [
            (name, datatype, [-1]) for name, datatype in DATATYPES.items()
        ]
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await client.ask("Check", KINDS.HealthCheckRequest(service="x"), "HealthCheckResponse", messages.HEALTH)
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await client.ask("ModelConfig", about, "ModelMetadataResponse")

    told(story)


def test_the_guard_reads_a_call_s_metadata(told) -> None:
    async def story(client: Client) -> None:
        assert await client.refusal(typed()) == ("UNAUTHENTICATED", "say the word")
        assert (await client.infer(typed(), metadata=(("x-api-key", "sesame"),))).outputs
        assert (await client.ask("ServerLive", KINDS.ServerLiveRequest(), "ServerLiveResponse")).live

    told(story, KeyGuard())


def test_http_and_grpc_end_at_the_same_time(tmp_path: Path) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        flags = ("--grpc-port", str(port), "--in-flight-seconds", "10")
        with servers.running(bundles.write(tmp_path).path, *flags, interpreter=Path(sys.executable)) as running:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.stream_unary(f"/{messages.INFERENCE}/ServerLive")()  # one that is never sent in full
                await call.wait_for_connection()
                running.process.terminate()
                with contextlib.suppress(ConnectionError):
                    while True:
                        socket.create_connection(("127.0.0.1", running.port)).close()
                        await asyncio.sleep(0.01)
                assert running.process.poll() is None  # it waits for the call, of HTTP there is no more
                call.cancel()
            output, errors = await asyncio.to_thread(running.process.communicate, timeout=20)
            assert (running.process.returncode, output.splitlines()[-1], errors) == (0, "stopped cut_off=0", "")

    started = time.monotonic()
    asyncio.run(story())
    assert time.monotonic() - started < 9


def test_every_status_of_a_problem_has_a_word() -> None:
    for word in server.STATUS.values():
        assert hasattr(grpc.StatusCode, word)


def test_a_port_that_is_taken_is_named(told) -> None:
    async def story(client: Client) -> None:
        second = server.GrpcServer(client.application, Limits())
        address = await second.listen("127.0.0.1", 0)
        third = server.GrpcServer(client.application, Limits())
        with pytest.raises(InputError, match=f"{address}: grpc-port: cannot be opened"):
            await third.listen("127.0.0.1", int(address.rpartition(":")[2]))
        await second.close(0)

    told(story)


def test_where_grpcio_is_missing_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    without = "import sys; sys.modules['grpc'] = None; from serving.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", without, "--bundle", bundle.path, "--port", "0", "--management-port", "0"]
    done = subprocess.run([*command, "--grpc-port", "0"], cwd=servers.ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"--grpc-port: grpcio is not installed; {server.INSTALL}\n"
