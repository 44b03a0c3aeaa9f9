"""Who vouches for a bundle: an Ed25519 signature over its digest, in `signature.json` beside the bundle's files.

The digest says that a bundle is whole; only the signature says that it is ours. It lies outside the digest, so a bundle
keeps its name and its reports when it is signed. Keys are PEM files; the file of public keys may hold several, all of
them valid, so that a key can be replaced without a moment in which nothing verifies.

    python -m contracts.signature new-key --private signing.pem --public verify.pem
    python -m contracts.signature sign data/bundles/<16 hex> --private signing.pem
    python -m contracts.signature verify data/bundles/<16 hex> --public verify.pem
"""

import argparse
import base64
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from contracts import atomic
from contracts import bundle as bundles
from contracts.bundle import Bundle, BundleError
from contracts.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# What is signed starts with what it is for, so that a signature made for anything else is worth nothing here.
PURPOSE = b"slipway bundle signature v1\0"
MAXIMUM_BYTES = 4096
PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`signature.json`. `digest` and `key` are for people: what is verified is the digest of the bundle itself."""

    format: Literal[1] = 1
    algorithm: Literal["Ed25519"] = "Ed25519"
    digest: str
    key: str  # first 16 hex digits of the SHA-256 of the public key's 32 bytes
    signature: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==$")]  # base64 of 64 bytes


def sign(path: Path, private_key_pem: bytes) -> Signature:
    """Sign the bundle in folder `path`, in place of a signature that may be there.

    Raises BundleError for a bundle that is not whole, InputError for a key that is none and for a place that cannot be
    written.
    """
    private = _private_key(private_key_pem)
    digest = bundles.digest(path)
    signed = Signature(
        digest=digest,
        key=_name(private.public_key()),
        signature=base64.b64encode(private.sign(_message(digest))).decode(),
    )
    document = msgspec.json.format(msgspec.json.encode(signed, order="deterministic"), indent=1) + b"\n"
    path = Path(path).absolute()
    # Inside the folder, what a killed writer leaves would be a foreign file, and the bundle would be refused.
    atomic.write_bytes(path / bundles.SIGNATURE, document, scratch=path.parent)
    return signed


def verify(bundle: Bundle, public_keys_pem: bytes) -> Signature:
    """The signature of a bundle that was read, when one of the public keys made it; else BundleError says why not.

    Raises InputError when the PEM holds no Ed25519 public key.
    """
    from cryptography.exceptions import InvalidSignature

    file = bundle.path / bundles.SIGNATURE
    keys = _public_keys(public_keys_pem)
    signed = _read(file)
    signature = base64.b64decode(signed.signature)
    for key in keys:
        try:
            key.verify(signature, _message(bundle.digest))
        except InvalidSignature:
            continue
        return signed
    names = " or ".join(_name(key) for key in keys)
    raise BundleError(
        f"{file}: signature: is not this bundle's by key {names}; sign it with `python -m contracts.signature sign`"
    )


def _read(file: Path) -> Signature:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError as error:
        raise BundleError(
            f"{file}: is missing, and only signed bundles are taken; sign it with `python -m contracts.signature sign`"
        ) from error
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}; check its rights, or sign it again") from error
    if len(data) > MAXIMUM_BYTES:
        raise BundleError(f"{file}: is larger than {MAXIMUM_BYTES} bytes; sign the bundle again")
    try:
        return msgspec.json.decode(data, type=Signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{file}: {error}; sign the bundle again") from error


def _message(digest: str) -> bytes:
    return PURPOSE + digest.encode()


def _name(key: "Ed25519PublicKey") -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private_key(pem: bytes) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError("private key: is no PEM file without a password; make one with `new-key`") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("private key: is not for Ed25519; make one with `python -m contracts.signature new-key`")
    return key


def _public_keys(pem: bytes) -> "list[Ed25519PublicKey]":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = []
    for block in PEM.finditer(pem):
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(
                f"public key: {block[1].decode()} is not a public key; give the one that verifies"
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("public key: is not for Ed25519; make one with `python -m contracts.signature new-key`")
        keys.append(key)
    if not keys:
        raise InputError("public key: the file holds no PEM; make one with `python -m contracts.signature new-key`")
    return keys


def _new_key(options: argparse.Namespace) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    if options.public.exists():
        raise InputError(f"{options.public}: is there already; keys are never overwritten, choose another name")
    _create(options.private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _create(options.public, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return f"key {_name(public)}: {options.private} signs and stays secret, {options.public} verifies"


def _sign(options: argparse.Namespace) -> str:
    signed = sign(options.bundle, _bytes(options.private))
    return f"{options.bundle}: {signed.digest} is signed by key {signed.key}"


def _verify(options: argparse.Namespace) -> str:
    bundle = bundles.load(options.bundle)
    return f"{options.bundle}: {bundle.digest} is signed by key {verify(bundle, _bytes(options.public)).key}"


def _create(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet, private from its first moment where `mode` says so."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise InputError(f"{path}: is there already; keys are never overwritten, choose another name") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another place") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; name the PEM file of a key") from error


def main(line: Sequence[str] | None = None) -> int:
    """Exit code 0: done, or the signature holds; 2: refused, in one line."""
    parser = argparse.ArgumentParser(prog="python -m contracts.signature", description="Sign bundles, and verify them.")
    commands = parser.add_subparsers(required=True)
    new_key = commands.add_parser("new-key", help="make a pair of key files")
    new_key.add_argument("--private", type=Path, required=True, help="file to make: the key that signs")
    new_key.add_argument("--public", type=Path, required=True, help="file to make: the key that verifies")
    new_key.set_defaults(command=_new_key)
    signing = commands.add_parser("sign", help="sign a bundle")
    signing.add_argument("bundle", type=Path, help="folder of the bundle")
    signing.add_argument("--private", type=Path, required=True, help="PEM file of the key that signs")
    signing.set_defaults(command=_sign)
    verifying = commands.add_parser("verify", help="is this bundle signed by one of these keys")
    verifying.add_argument("bundle", type=Path, help="folder of the bundle")
    verifying.add_argument("--public", type=Path, required=True, help="PEM file of one public key or several")
    verifying.set_defaults(command=_verify)
    options = parser.parse_args(line)
    try:
        print(options.command(options))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
