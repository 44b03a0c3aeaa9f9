"""The bundle: the model outside of the pipeline.

It is the only thing that serving, batch scoring, the load test and the image need.

A bundle is a folder. Four files decide the answers, and the digest is made from exactly those; it can be checked
without us:

    cd <bundle> && sha256sum bundle.json golden.json model.onnx reference_profile.json | sha256sum

`provenance.json` and `MODEL_CARD.md` lie beside them, outside the digest, and so may `signature.json`. Nothing in a
bundle is executable.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from contracts import atomic
from contracts.errors import InputError

FORMAT = 1
DIGESTED = ("bundle.json", "golden.json", "model.onnx", "reference_profile.json")
BESIDE = ("MODEL_CARD.md", "provenance.json")
SIGNATURE = "signature.json"  # may lie beside them: contracts/signature.py
MAXIMUM_BYTES = 512 * 1024 * 1024  # per file; a budget may allow less


class BundleError(InputError):
    """A bundle that is not what it says: a missing, foreign, oversized or changed file, an unknown format."""


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One raw column that the model takes, or with `width` k > 1 a tensor of shape [rows, k] (float32).

    A missing string is "" and a missing number NaN in a column, null in JSON.
    """

    name: str
    dtype: Literal["string", "float32", "int64", "bool"]
    width: int = 1
    source: Literal["request", "lookup"] = "request"
    nullable: bool = False
    categories: tuple[str, ...] = ()  # seen in training, most frequent first; others are allowed and counted as unseen
    minimum: float | None = None  # seen in training
    maximum: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.width < 1 or (self.width > 1 and self.dtype != "float32"):
            raise ValueError(f"{self.name}: width is {self.width}; it is at least 1, and above 1 for float32 only")


class Output(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output; width 1 has shape [rows], width k has shape [rows, k]."""

    name: str
    dtype: Literal["float32"] = "float32"
    width: int = 1


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`: what goes in, what comes out."""

    format: int = FORMAT
    name: str
    task: Literal["binary", "multiclass", "regression"]
    target: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    classes: tuple[str, ...] = ()
    decision_threshold: float | None = None

    def __post_init__(self) -> None:
        if len(self.columns) != len(self.inputs) + len(self.outputs):
            raise ValueError("two of its columns have the same name")

    @property
    def columns(self) -> set[str]:
        return {column.name for column in self.inputs} | {column.name for column in self.outputs}


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`golden.json`: rows with the outputs that this model gives for them, to be reproduced within a tolerance."""

    format: int = FORMAT
    inputs: dict[str, list[str | float | int | bool | list[float | None] | None]]
    outputs: dict[str, list[float | list[float]]]  # a row is a number, or a list of `width` numbers
    absolute_tolerance: float
    relative_tolerance: float

    def __post_init__(self) -> None:
        lengths = {len(rows) for rows in self.inputs.values()} | {len(rows) for rows in self.outputs.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError("every column needs the same number of rows, and at least one")

    @property
    def columns(self) -> set[str]:
        return {*self.inputs, *self.outputs}


class NumericProfile(Struct, frozen=True, kw_only=True, tag_field="kind", tag="numeric", forbid_unknown_fields=True):
    """How a number was distributed in training.

    `edges` are the inner ones, ascending; `counts` has one bin more: bin i holds edges[i-1] < x <= edges[i].
    """

    edges: list[float]
    counts: list[int]
    missing: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 1 or self.edges != sorted(self.edges):
            raise ValueError("edges must ascend, and counts have one bin more than edges")


class CategoricalProfile(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="categorical", forbid_unknown_fields=True
):
    """How a category was distributed in training: the frequent ones by name, the rest as `other`."""

    counts: dict[str, int]
    other: int
    missing: int


class ReferenceProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reference_profile.json`: what the training data and the predictions on them looked like, for drift."""

    format: int = FORMAT
    rows: int
    inputs: dict[str, NumericProfile | CategoricalProfile]
    predictions: dict[str, NumericProfile]


class Provenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`provenance.json`: where the bundle comes from. Outside the digest, since it decides no answer."""

    format: int = FORMAT
    version: str = ""  # of the registered model; empty until it is registered
    created_at: str
    git_sha: str
    git_dirty: bool
    inputs_hash: str
    data_hash: str
    parameters_hash: str
    code_hash: str
    requirements_hash: str
    seed: int
    data_from: str
    data_until: str
    device: str = "cpu"
    parent: str | None = None
    mlflow_run_id: str | None = None


T = TypeVar("T", Manifest, Golden, ReferenceProfile, Provenance)


class Contents(Struct, frozen=True, kw_only=True):
    """What a bundle is written from."""

    model: bytes
    manifest: Manifest
    golden: Golden
    profile: ReferenceProfile
    provenance: Provenance
    model_card: str


class Bundle(Struct, frozen=True, kw_only=True):
    """A bundle that was read and verified."""

    path: Path
    digest: str
    manifest: Manifest
    golden: Golden
    profile: ReferenceProfile
    provenance: Provenance
    model: bytes  # exactly the bytes that were verified

    @property
    def short_digest(self) -> str:
        return short(self.digest)


def short(digest: str) -> str:
    """The 16 hex digits that name a bundle's folder and its reports."""
    return digest.removeprefix("sha256:")[:16]


def write(store: Path, contents: Contents) -> Bundle:
    """Write a bundle into `store` under the name its digest gives, whole or not at all.

    Writing what is there already changes nothing and gives the bundle that is there. Raises InputError when the disk
    is full, BundleError when something else lies under its name.
    """
    files = {
        "bundle.json": _encode(contents.manifest),
        "golden.json": _encode(contents.golden),
        "model.onnx": contents.model,
        "reference_profile.json": _encode(contents.profile),
    }
    name = _digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    path = Path(store) / short(name)
    with atomic.folder(path) as temporary:
        for file, data in files.items():
            (temporary / file).write_bytes(data)
        (temporary / "provenance.json").write_bytes(_encode(contents.provenance))
        (temporary / "MODEL_CARD.md").write_text(contents.model_card, encoding="utf-8")
    try:
        return load(path, name)
    except BundleError as error:
        raise BundleError(f"{error}; what lies under this name was changed: remove the folder first") from error


def load(path: Path, expected_digest: str | None = None) -> Bundle:
    """Read and verify a bundle; raises BundleError when anything about it is not as it says."""
    path = Path(path)
    files = _read(path)
    found = _digest({name: hashlib.sha256(files[name]).hexdigest() for name in DIGESTED})
    if expected_digest and found != expected_digest:
        raise BundleError(f"{path}: digest: is {found}, not {expected_digest}; build or fetch the bundle again")
    manifest = _decode(path / "bundle.json", files, Manifest)
    golden = _decode(path / "golden.json", files, Golden)
    if strange := manifest.columns ^ golden.columns:
        raise BundleError(f"{path}: {min(strange)}: is not in both bundle.json and golden.json; build the bundle again")
    return Bundle(
        path=path,
        digest=found,
        manifest=manifest,
        golden=golden,
        profile=_decode(path / "reference_profile.json", files, ReferenceProfile),
        provenance=_decode(path / "provenance.json", files, Provenance),
        model=files["model.onnx"],
    )


def digest(path: Path) -> str:
    """The digest of the bundle in folder `path`, `sha256:<64 hex>`; raises BundleError as `load` does."""
    files = _read(Path(path))
    return _digest({name: hashlib.sha256(files[name]).hexdigest() for name in DIGESTED})


def bundles(store: Path) -> Iterator[Bundle]:
    """Every whole bundle in a store, by name; what a killed writer left behind is passed over."""
    for path in sorted(Path(store).glob("*/bundle.json")):
        if not path.parent.name.startswith("."):
            yield load(path.parent)


def record_version(path: Path, version: str, mlflow_run_id: str | None) -> None:
    """Note in `provenance.json` under which version the bundle was registered; the digest stays."""
    path = Path(path)
    known = _decode(path / "provenance.json", _read(path), Provenance)
    changed = msgspec.structs.replace(known, version=version, mlflow_run_id=mlflow_run_id)
    if changed != known:
        # Inside the folder, what a killed writer leaves would be a foreign file, and the bundle would be refused.
        atomic.write_bytes(path / "provenance.json", _encode(changed), scratch=path.parent)


def _digest(sums: dict[str, str]) -> str:
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(DIGESTED))
    return "sha256:" + hashlib.sha256(listing.encode()).hexdigest()


def _read(path: Path) -> dict[str, bytes]:
    try:
        return _read_files(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}; check its rights, or fetch it again") from error


def _read_files(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle; train one with `make train`, or name its folder")
    found = {entry.name for entry in path.iterdir()}
    allowed = {*DIGESTED, *BESIDE}
    if missing := sorted(allowed - found):
        raise BundleError(f"{path}: {missing[0]}: is missing; build or fetch the bundle again")
    if foreign := sorted(found - allowed - {SIGNATURE}):
        # In one line, whatever is in the name.
        raise BundleError(f"{path}: {ascii(foreign[0])[1:-1]}: does not belong in a bundle; remove it")
    files = {}
    for name in sorted(found):
        file = path / name
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{file}: is not a regular file; build or fetch the bundle again")
        if file.stat().st_size > MAXIMUM_BYTES:
            raise BundleError(f"{file}: is larger than {MAXIMUM_BYTES} bytes; a bundle holds one small model")
        files[name] = file.read_bytes()
    return files


def _decode(path: Path, files: dict[str, bytes], kind: type[T]) -> T:
    try:
        document = msgspec.json.decode(files[path.name], type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; build or fetch the bundle again") from error
    if document.format != FORMAT:
        raise BundleError(f"{path}: format: is {document.format}, this version reads {FORMAT}; build the bundle again")
    return document


def _encode(document: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1) + b"\n"
