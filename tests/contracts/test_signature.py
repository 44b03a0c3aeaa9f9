"""Signatures of bundles: who vouches, what is refused, and that keys are kept as keys should be."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from contracts import bundle as bundles
from contracts.bundle import BundleError
from contracts.errors import InputError
from contracts.signature import main, sign, verify
from tests.bundles import tiny

KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
PRIVATE = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in KEYS]
PUBLIC = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in KEYS]
OURS, NEXT, FOREIGN = range(3)


@pytest.fixture(scope="module")
def contents():
    return tiny()


@pytest.fixture
def bundle(tmp_path, contents):
    return bundles.write(tmp_path / "store", contents)


@pytest.fixture
def signed(bundle):
    sign(bundle.path, PRIVATE[OURS])
    return bundles.load(bundle.path)


def refused(bundle, *public):
    with pytest.raises(BundleError) as error:
        verify(bundle, b"".join(public))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{bundle.path / 'signature.json'}: ")
    return str(error.value)


def test_a_signed_bundle_is_the_same_bundle(bundle, signed):
    assert verify(signed, PUBLIC[OURS]).digest == bundle.digest == signed.digest
    assert bundles.load(bundle.path, bundle.digest) == bundle
    assert [each.digest for each in bundles.bundles(bundle.path.parent)] == [bundle.digest]
    assert not [path for path in bundle.path.parent.iterdir() if path != bundle.path]


def test_signing_again_gives_the_same_bytes(bundle, signed):
    before = (bundle.path / "signature.json").read_bytes()
    sign(bundle.path, PRIVATE[OURS])
    assert (bundle.path / "signature.json").read_bytes() == before


def test_registering_and_writing_again_keep_the_signature(signed, contents):
    bundles.record_version(signed.path, "7", None)
    assert verify(bundles.load(signed.path), PUBLIC[OURS])
    assert verify(bundles.write(signed.path.parent, contents), PUBLIC[OURS])


def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(bundle):
    assert "only signed bundles are taken" in refused(bundle, PUBLIC[OURS])


def test_another_s_signature_is_refused_and_the_keys_are_named(bundle):
    sign(bundle.path, PRIVATE[FOREIGN])
    assert re.search(
        r"is not this bundle's by key [0-9a-f]{16} or [0-9a-f]{16};", refused(bundle, PUBLIC[OURS], PUBLIC[NEXT])
    )


def test_several_keys_are_valid_while_one_is_replaced(bundle, signed):
    both = b"the old key\n" + PUBLIC[OURS] + b"\nthe new one\n" + PUBLIC[NEXT]
    old = verify(signed, both)
    sign(bundle.path, PRIVATE[NEXT])
    assert verify(bundle, both).key != old.key
    assert "is not this bundle's" in refused(bundle, PUBLIC[OURS])


def test_the_signature_of_another_bundle_is_refused(signed):
    other = bundles.write(signed.path.parent, tiny(shift=0.5))
    shutil.copy(signed.path / "signature.json", other.path / "signature.json")
    assert "is not this bundle's" in refused(bundles.load(other.path), PUBLIC[OURS])
    # Not even when it says that it is this bundle's.
    document = json.loads((other.path / "signature.json").read_text())
    (other.path / "signature.json").write_text(json.dumps({**document, "digest": other.digest}))
    assert "is not this bundle's" in refused(bundles.load(other.path), PUBLIC[OURS])


def test_a_signature_made_for_something_else_is_refused(bundle, signed):
    document = json.loads((bundle.path / "signature.json").read_text())
    for message in (bundle.digest.encode(), b"slipway bundle signature v2\0" + bundle.digest.encode(), b""):
        wrong = base64.b64encode(KEYS[OURS].sign(message)).decode()
        (bundle.path / "signature.json").write_text(json.dumps({**document, "signature": wrong}))
        assert "is not this bundle's" in refused(bundle, PUBLIC[OURS])


@given(at=st.integers(0, 63), bit=st.integers(0, 7))
def test_no_changed_bit_of_a_signature_passes(tmp_path_factory, contents, at, bit):
    bundle = bundles.write(tmp_path_factory.getbasetemp() / "signed", contents)
    signed = sign(bundle.path, PRIVATE[OURS])
    changed = bytearray(base64.b64decode(signed.signature))
    changed[at] ^= 1 << bit
    wrong = msgspec.structs.replace(signed, signature=base64.b64encode(changed).decode())
    (bundle.path / "signature.json").write_bytes(msgspec.json.encode(wrong))
    assert "is not this bundle's" in refused(bundle, PUBLIC[OURS])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithm": "none"}, "Invalid enum value 'none'"),
        ({"format": 2}, "Invalid enum value 2"),
        ({"signature": ""}, "matching regex"),
        ({"signature": "A" * 88}, "matching regex"),
        ({"signature": None}, "Expected `str`"),
        ({"more": 1}, "unknown field `more`"),
    ],
)
def test_a_signature_of_another_kind_is_refused(signed, change, said):
    document = json.loads((signed.path / "signature.json").read_text())
    (signed.path / "signature.json").write_text(json.dumps({**document, **change}))
    assert said in refused(signed, PUBLIC[OURS])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[" * 4000, b" " * 5000, b"null"])
def test_what_is_no_signature_is_refused(signed, content):
    (signed.path / "signature.json").write_bytes(content)
    refused(signed, PUBLIC[OURS])


def test_a_signature_that_is_no_file_is_refused(signed):
    target = shutil.move(signed.path / "signature.json", signed.path.parent / "elsewhere.json")
    (signed.path / "signature.json").symlink_to(target)
    with pytest.raises(BundleError, match=r"signature\.json: is not a regular file"):
        bundles.load(signed.path)
    (signed.path / "signature.json").unlink()
    (signed.path / "signature.json").mkdir()
    assert "cannot be read" in refused(signed, PUBLIC[OURS])


def test_a_changed_bundle_is_not_signed(bundle):
    (bundle.path / "more.bin").write_bytes(b"")
    with pytest.raises(BundleError, match="does not belong in a bundle"):
        sign(bundle.path, PRIVATE[OURS])


CURVE = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("public", "said"),
    [
        (b"", "holds no PEM"),
        (b"nonsense", "holds no PEM"),
        (PRIVATE[OURS], "PRIVATE KEY is not a public key"),
        (PUBLIC[OURS] + PRIVATE[NEXT], "PRIVATE KEY is not a public key"),
        (PUBLIC[OURS].replace(b"MCow", b"AAAA"), "PUBLIC KEY is not a public key"),
        (CURVE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "is not for Ed25519"),
    ],
)
def test_a_file_that_verifies_nothing_is_refused(signed, public, said):
    with pytest.raises(InputError, match=said) as error:
        verify(signed, public)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("private", "said"),
    [
        (b"", "is no PEM file"),
        (PUBLIC[OURS], "is no PEM file"),
        (
            KEYS[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
            "without a password",
        ),
        (CURVE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "is not for Ed25519"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(bundle, private, said):
    with pytest.raises(InputError, match=said):
        sign(bundle.path, private)
    assert not (bundle.path / "signature.json").exists()


@pytest.fixture
def pair(tmp_path, capsys):
    private, public = tmp_path / "signing.pem", tmp_path / "verify.pem"
    assert main(["new-key", "--private", str(private), "--public", str(public)]) == 0
    assert "PRIVATE" not in capsys.readouterr().out
    return private, public


def test_a_key_is_private_from_its_first_moment_and_never_overwritten(pair, capsys, tmp_path):
    private, public = pair
    if os.name == "posix":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    for files in ((private, tmp_path / "other.pem"), (tmp_path / "other.pem", public)):
        assert main(["new-key", "--private", str(files[0]), "--public", str(files[1])]) == 2
        assert "never overwritten" in capsys.readouterr().err
        assert not (tmp_path / "other.pem").exists()
    assert (private.read_bytes(), public.read_bytes()) == before


def test_the_commands_sign_and_verify(pair, bundle, capsys, tmp_path):
    private, public = map(str, pair)
    path = str(bundle.path)
    assert main(["verify", path, "--public", public]) == 2
    assert main(["sign", path, "--private", private]) == 0
    assert main(["verify", path, "--public", public]) == 0
    assert main(["verify", path, "--public", private]) == 2
    assert main(["sign", path, "--private", str(tmp_path / "nothing.pem")]) == 2
    assert main(["sign", str(tmp_path / "nothing"), "--private", private]) == 2
    said = capsys.readouterr()
    assert f"{bundle.digest} is signed by key" in said.out
    assert len(said.err.splitlines()) == 4


def test_cryptography_is_imported_only_to_sign_and_verify(environments, root):
    code = "import sys, contracts.signature; print('cryptography' in sys.modules)"
    done = subprocess.run([environments["serve"], "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_the_command_runs_in_the_server_s_environment(environments, root, bundle, pair):
    command = [environments["serve"], "-m", "contracts.signature", "sign", bundle.path, "--private", pair[0]]
    assert subprocess.run(command, cwd=root, capture_output=True).returncode == 0
    assert verify(bundle, pair[1].read_bytes())


def test_a_signature_travels_in_an_image(signed, root, tmp_path):
    from release import image, unpack
    from release.oci import Layout

    layout = Layout.create(tmp_path / "registry")
    built = image.build(signed.path, layout, root)
    unpack.pull(layout, built, tmp_path / "pulled")
    pulled = bundles.load(tmp_path / "pulled" / image.BUNDLE, signed.digest)
    assert verify(pulled, PUBLIC[OURS])
    assert unpack.provenance(layout, built) == signed.provenance
