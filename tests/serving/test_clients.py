"""Clients that others wrote, unchanged, against a server that runs."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.bundle import Bundle
from serving.runtime import Model
from tests import bundles, servers
from tests.serving import browser
from tests.serving.fronts import FRONTS

ROWS = {
    "station": ["north", "", "ö"],
    "temperature": [1.5, float("nan"), -3.0],
    "hour": [3, 4, 5],
    "holiday": [True, False, True],
}
DATATYPES = {"station": "BYTES", "temperature": "FP32", "hour": "INT64", "holiday": "BOOL"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> list[float]:
    return Model(bundle).predict(ROWS)["probability"].tolist()


@pytest.fixture(scope="module", params=FRONTS)
def url(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[str]:
    with FRONTS[request.param](bundle.path) as url:
        yield url


def script(python: Path, text: str, *arguments: object) -> dict:
    """What a script prints, as JSON; `rows` and `datatypes` are there for it."""
    head = f"import json, sys\nnan = float('nan')\nrows, datatypes = {ROWS!r}, {DATATYPES!r}\n"
    command = [python, "-W", "ignore", "-c", head + text, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TRITON_TENSORS = """
import numpy as np
kinds = {"BYTES": object, "FP32": np.float32, "INT64": np.int64, "BOOL": bool}
def tensors(client, **how):
    made = []
    for name, values in rows.items():
        tensor = client.InferInput(name, [len(values)], datatypes[name])
        texts = [value.encode() if isinstance(value, str) else value for value in values]
        tensor.set_data_from_numpy(np.array(texts, kinds[datatypes[name]]), **how)
        made.append(tensor)
    return made
told = {}
"""
TRITON_HTTP = (
    TRITON_TENSORS
    + """
import tritonclient.http as http
client = http.InferenceServerClient(sys.argv[1].removeprefix("http://"))
told["health"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("rainy-days", "1")]
told["metadata"] = [client.get_server_metadata()["name"], client.get_model_metadata("rainy-days")["name"]]
binary, text = ({"binary_data": way} for way in (True, False))
for sent in (binary, text):
    for wanted in (binary, text):
        # A text that is missing is null in JSON, which this client cannot say there for a number: it has NaN, which is none.
        if sent is text:
            rows["temperature"] = [1.5, 2.5, -3.0]
        outputs = [http.InferRequestedOutput("probability", **wanted)]
        answer = client.infer("rainy-days", tensors(http, **sent), outputs=outputs, request_id="42")
        told[f"{sent['binary_data']} {wanted['binary_data']}"] = answer.as_numpy("probability").tolist()
        told["id"] = answer.get_response()["id"]
rows["temperature"] = [1.5, nan, -3.0]
told["default"] = client.infer("rainy-days", tensors(http)).as_numpy("probability").tolist()
pending = [client.async_infer("rainy-days", tensors(http)) for _ in range(20)]
told["async"] = [one.get_result().as_numpy("probability").tolist() for one in pending]
try:
    client.infer("other", tensors(http))
except Exception as error:
    told["error"] = [type(error).__name__, error.message()]
print(json.dumps(told))
"""
)


def test_tritonclient_over_http(environments: dict[str, Path], url: str, bundle: Bundle, expected: list[float]) -> None:
    told = script(environments["clients"], TRITON_HTTP, url)
    assert told["health"] == [True, True, True]
    assert told["metadata"] == ["slipway", "rainy-days"]
    known = Model(bundle).predict({**ROWS, "temperature": [1.5, 2.5, -3.0]})["probability"].tolist()
    assert (told["True True"], told["True False"]) == (expected, expected)
    assert (told["False True"], told["False False"]) == (known, known)
    assert told["id"] == "42"
    assert told["default"] == expected
    for prediction in told["async"]:
        assert prediction == pytest.approx(expected, abs=1e-6)  # some shared a batch
    assert told["error"] == ["InferenceServerException", "there is no such model here; this server has rainy-days"]


TRITON_GRPC = (
    TRITON_TENSORS
    + """
import tritonclient.grpc as grpc
client = grpc.InferenceServerClient(sys.argv[1])
told["health"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("rainy-days", "1")]
told["metadata"] = [client.get_server_metadata().name, client.get_model_metadata("rainy-days").inputs[0].datatype]
outputs = [grpc.InferRequestedOutput("probability")]
answer = client.infer("rainy-days", tensors(grpc), outputs=outputs, request_id="42", model_version="1")
told["predictions"], told["id"] = answer.as_numpy("probability").tolist(), answer.get_response().id
told["default"] = client.infer("rainy-days", tensors(grpc)).as_numpy("probability").tolist()
try:
    client.infer("rainy-days", tensors(grpc)[1:])
except Exception as error:
    told["error"] = [error.status(), error.message()]
print(json.dumps(told))
"""
)


def test_tritonclient_over_grpc(environments: dict[str, Path], bundle: Bundle, expected: list[float]) -> None:
    # In the environment of training, which has grpcio: in the server's it is an extra.
    process = servers.start(bundle.path, "--grpc-port", "0", interpreter=environments["train"])
    try:
        said = dict(pair.split("=", 1) for pair in process.stdout.readline().split()[1:])
        told = script(environments["clients"], TRITON_GRPC, said["grpc"])
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert told["health"] == [True, True, True]
    assert told["metadata"] == ["slipway", "BYTES"]
    assert (told["predictions"], told["id"], told["default"]) == (expected, "42", expected)
    assert told["error"] == [
        "StatusCode.INVALID_ARGUMENT",
        "station: is missing; send every column; a value that is not known is null",
    ]


MLFLOW = """
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
host, port = sys.argv[1].removeprefix("http://").split(":")
client = ScoringServerClient(host, port)
client.wait_server_ready(timeout=20)
frame = pd.DataFrame(rows)
answer = client.invoke(frame, params={"anything": 1})
told = {"version": client.get_version(), "array": answer.get_predictions("ndarray").tolist()}
told["frame"] = answer.get_predictions()[0].tolist()
try:
    client.invoke(frame.drop(columns="hour"))
except Exception as error:
    told["error"] = str(error)
print(json.dumps(told))
"""


def test_mlflow_s_own_client(environments: dict[str, Path], url: str, expected: list[float]) -> None:
    told = script(environments["train"], MLFLOW, url)
    assert told["array"] == expected
    assert told["frame"] == expected
    assert told["version"]
    assert "error code 400" in told["error"]
    assert "hour: is missing" in told["error"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl(url: str, tmp_path: Path) -> None:
    def curl(*arguments: str) -> subprocess.CompletedProcess:
        command = ["curl", "-sS", "--max-time", "20", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    record = {"station": "north", "temperature": 1.5, "hour": 3, "holiday": True}
    told = curl(f"{url}/invocations", "-d", json.dumps({"dataframe_records": [record]}))
    csv = curl(
        f"{url}/invocations",
        "-H",
        "Content-Type: text/csv",
        "--data-binary",
        "station,temperature,hour,holiday\nnorth,1.5,3,true",
    )
    assert json.loads(told.stdout) == json.loads(csv.stdout)
    assert len(json.loads(csv.stdout)["predictions"]) == 1
    assert "405" in curl("-o", "/dev/null", "-w", "%{http_code}", f"{url}/invocations").stdout
    (tmp_path / "large").write_bytes(b"x" * 2_000_000)
    told = curl("-w", "%{http_code}", f"{url}/invocations", "--data-binary", f"@{tmp_path / 'large'}")
    assert "body_too_large" in told.stdout


# --- a person with a browser

needs_browser = pytest.mark.skipif(browser.program() is None, reason="there is no Chromium here")
OPENED = "!document.getElementById('page').hidden"
ANSWER = "document.getElementById('answer')"


def press(page: browser.Page, button: str) -> None:
    page.run(f"delete {ANSWER}.dataset.status; document.getElementById('{button}').click()")
    page.until(f"{ANSWER}.dataset.status")


@needs_browser
def test_a_person_asks_the_model_on_its_page(url: str, bundle: Bundle, tmp_path: Path) -> None:
    with browser.opened(tmp_path / "profile") as page:
        page.open(f"{url}/docs")
        page.until(OPENED)
        text = str(page.run("document.body.innerText"))
        for word in (
            "rainy-days",
            "Predicts the probability of rain",
            "north, south, east",
            "-20 to 40",
            "10,000 rows and 1,048,576 bytes",
            "too_many_rows",
        ):
            assert word in text
        press(page, "predict")
        assert page.run(f"{ANSWER}.dataset.status") == "200"
        shown = float(str(page.run(f"{ANSWER}.querySelector('.number').textContent")))
        assert shown == pytest.approx(bundle.golden.outputs["probability"][0], abs=1e-5)

        # What it shows as the curl line asks the same.
        if shutil.which("curl"):
            line = str(page.run("document.getElementById('curl').textContent"))
            told = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
            assert json.loads(told)["outputs"][0]["data"] == pytest.approx([shown], abs=1e-5)

        # A value that is none: the server says which and why, the page shows it.
        page.run("document.getElementById('field-2').value = 'noon'")
        press(page, "predict")
        assert page.run(f"{ANSWER}.dataset.status") == "400"
        assert str(page.run(f"{ANSWER}.innerText")).startswith("hour: row 0 is not a number")

        page.run("document.getElementById('another').click(); document.getElementById('as-json').click()")
        press(page, "predict")
        assert page.run(f"{ANSWER}.dataset.status") == "200"

        assert {address.partition("?")[0].removeprefix(url) for address in page.asked} <= {
            "/docs",
            "/openapi.json",
            "/v2/models/rainy-days/infer",
            "data:,",
        }
        # The refusal is the only thing that a browser has to say: no policy was broken, no script failed.
        assert [complaint for complaint in page.complaints if "400" not in complaint] == []


@needs_browser
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_page_of_another_kind_of_model(task: str, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "store", task=task)
    with servers.running(bundle.path) as server, browser.opened(tmp_path / "profile") as page:
        page.open(f"{server.url}/docs/?x=/y#z", dark=True, width=400)
        page.until(OPENED)
        press(page, "predict")
        numbers = page.run(f"[...{ANSWER}.querySelectorAll('.number')].map(number => Number(number.textContent))")
        golden = bundle.golden.outputs[bundle.manifest.outputs[0].name][0]
        assert numbers == pytest.approx(golden if isinstance(golden, list) else [golden], abs=1e-4)
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.complaints == []


@needs_browser
def test_where_a_guard_is_the_page_asks_for_a_credential_and_shows_nothing_before(
    bundle: Bundle, tmp_path: Path
) -> None:
    key, file = "open-sesame-" * 3, tmp_path / "keys.json"
    line = {"id": "tests", "sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": ["predict", "metadata"]}
    file.write_text(json.dumps({"format": 1, "keys": [line]}))
    with servers.running(bundle.path, "--api-keys", str(file)) as server, browser.opened(tmp_path / "profile") as page:
        page.open(f"{server.url}/docs")
        page.until("!document.getElementById('door').hidden")
        assert "rainy-days" not in str(page.run("document.documentElement.innerHTML"))
        page.run(
            "document.getElementById('credential').value = 'wrong'; document.querySelector('#door button').click()"
        )
        page.until("!document.getElementById('failed').hidden")
        page.run(
            f"document.getElementById('credential').value = {key!r}; document.querySelector('#door button').click()"
        )
        page.until(OPENED)
        press(page, "predict")
        assert page.run(f"{ANSWER}.dataset.status") == "200"
        assert key not in str(page.run("document.body.innerText"))
