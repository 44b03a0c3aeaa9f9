"""Tokens: every way in which one may be wrong, and what a good one is good for."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from serving.security import tokens
from serving.security.guard import Guard
from serving.security.tokens import Tokens
from tests.serving.security import issuer
from tests.serving.security.asking import ask, bearer, header
from tests.serving.security.issuer import AUDIENCE, ISSUER, claims, jwk, jwks, private, token

ALLOWED = frozenset({"RS256", "ES256", "EdDSA"})


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    path = tmp_path_factory.mktemp("issuer") / "jwks.json"
    path.write_bytes(jwks(jwk(), jwk("curve", "ES256"), jwk("edwards", "EdDSA"), jwk("bound", "RS256", alg="RS256")))
    guard = Guard(tokens=Tokens(ISSUER, AUDIENCE, str(path), ALLOWED))
    yield guard
    guard.close()


def assembled(head: dict[str, Any], said: dict[str, Any], signature: bytes = b"") -> bytes:
    """A token put together by hand."""
    parts = [base64url_encode(json.dumps(part).encode()) for part in (head, said)]
    return b".".join([*parts, base64url_encode(signature)])


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("one", "RS256"), ("curve", "ES256"), ("edwards", "EdDSA"), ("bound", "RS256")]
)
def test_a_token_passes_again_and_again(guard, kid, algorithm):
    credential = token(kid, algorithm)
    assert {bearer(guard, credential) for _ in range(3)} == {(200, "")}


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_the_types_of_access_tokens_are_taken(guard, typ):
    assert bearer(guard, token(headers={"typ": typ}))[0] == 200


def test_an_audience_among_several_is_enough(guard):
    assert bearer(guard, token(aud=["others", AUDIENCE]))[0] == 200


NOW = int(time.time())
WRONG = {
    "expired": (token(exp=NOW - 60), "the token has expired"),
    "not yet valid": (token(nbf=NOW + 86_400), "the token is not valid yet"),
    "made in the future": (token(iat=NOW + 86_400), "the token is not valid yet"),
    "another audience": (token(aud="others"), "the token is for another audience"),
    "audience by its beginning": (token(aud=AUDIENCE[:-1]), "the token is for another audience"),
    "another issuer": (token(iss="https://issuer.test.evil/"), "the token is from another issuer"),
    "issuer in a list": (token(iss=[ISSUER]), "the token is from another issuer"),
    "no exp": (token(exp=None), "the token lacks exp, iss or aud"),
    "no iss": (token(iss=None), "the token lacks exp, iss or aud"),
    "no aud": (token(aud=None), "the token lacks exp, iss or aud"),
    "exp is no number": (token(exp="soon"), "the token cannot be verified"),
    "exp is infinite": (token(exp=float("inf")), "the token cannot be verified"),
    "unknown key": (token("stranger"), "the token is signed by a key that is not known"),
    "another's signature": (
        jwt.encode(claims(), private("stranger"), "RS256", headers={"kid": "one"}).encode(),
        "the token's signature is wrong",
    ),
    "another algorithm of the same key": (
        jwt.encode(claims(), private("one"), "RS512", headers={"kid": "one"}).encode(),
        "the token is signed by an algorithm that is not taken",
    ),
    "algorithm that does not fit the key": (
        jwt.encode(claims(), private("curve", "ES256"), "ES256", headers={"kid": "one"}).encode(),
        "the token is signed by a key that is not known",
    ),
    "alg none": (
        jwt.encode(claims(), None, "none", headers={"kid": "one"}).encode(),
        "the token is signed by an algorithm that is not taken",
    ),
    **{
        f"alg {name!r}": (
            assembled({"alg": name, "kid": "one"}, claims()),
            "the token is signed by an algorithm that is not taken",
        )
        for name in ("None", "NONE", "", None, 1, ["RS256"], {"RS256": 1}, True)
    },
    "no alg": (assembled({"kid": "one"}, claims()), "the token is signed by an algorithm that is not taken"),
    "no signature": (assembled({"alg": "RS256", "kid": "one"}, claims()), "the token's signature is wrong"),
    "critical extension": (
        assembled({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": True}, claims()),
        "the token asks for an extension that is not known",
    ),
    "unknown critical extension": (token(headers={"crit": ["exp"]}), "the token is not one"),
    "another purpose": (token(headers={"typ": "logout+jwt"}), "the token is made for another purpose"),
    "two parts": (b"a.b", "the token is not one"),
    "five parts": (b"a.b.c.d.e", "the token is not one"),
    "nothing": (b"", "the token is not one"),
    "not base64": (b"\xff.\xff.\xff", "the token is not one"),
    "huge": (b"a" * 9000, "the token is not one"),
    "padded": (token() + b"=", "the token is not one"),
    "a head that is no object": (base64url_encode(b"[]") + b".e30.e30", "the token is not one"),
    "a deep head": (base64url_encode(b"[" * 5000) + b".e30.e30", "the token is not one"),
    "a deep member": (base64url_encode(b'{"alg":"RS256","x":' + b"[" * 5000) + b".e30.e30", "the token is not one"),
    "a kid that is no text": (assembled({"alg": "RS256", "kid": ["one"]}, claims()), "the token is not one"),
    "a key of its own": (
        jwt.encode(claims(), private("stranger"), "RS256", headers={"jwk": jwk("stranger")}).encode(),
        "the token is signed by a key that is not known",
    ),
    "keys from elsewhere": (
        token("stranger", headers={"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/"}),
        "the token is signed by a key that is not known",
    ),
    "no kid where several keys fit": (token(kid=None), "the token is signed by a key that is not known"),
}


@pytest.mark.parametrize(("credential", "said"), WRONG.values(), ids=WRONG)
def test_a_token_that_is_wrong_is_refused_and_says_why(guard, credential, said):
    problem = ask(guard, authorization=b"Bearer " + credential)
    assert (problem.status, problem.code) == (401, "invalid_credential")
    assert problem.detail.startswith(said)
    challenge = header(problem, b"www-authenticate")
    assert f'error="invalid_token", error_description="{said}"'.encode() in challenge
    if len(credential) > 10:
        assert credential not in problem.detail.encode() + challenge


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "pkcs1", "der", "jwk", "modulus"])
def test_the_public_key_is_no_secret_to_sign_with(guard, algorithm, form):
    import hmac

    public = private("one").public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "pkcs1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(jwk()).encode(),
        "modulus": jwk()["n"].encode(),
    }[form]
    unsigned = assembled({"alg": algorithm, "kid": "one"}, claims()).rpartition(b".")[0]
    signature = hmac.digest(secret, unsigned, f"sha{algorithm[2:]}")
    status, said = bearer(guard, unsigned + b"." + base64url_encode(signature))
    assert status == 401
    assert said.startswith("the token is signed by an algorithm that is not taken")


@pytest.mark.parametrize(
    ("said", "may"),
    [
        ({"scope": "predict"}, {"predict"}),
        ({"scope": "openid  metadata predict"}, {"predict", "metadata"}),
        ({"scope": None, "scp": "metadata"}, {"metadata"}),
        ({"scope": None, "scp": ["predict", 7, None]}, {"predict"}),
        ({"scope": "metadata", "scp": ["predict"]}, {"metadata"}),
        ({"scope": None}, set()),
        ({"scope": "predictions"}, set()),
        ({"scope": {"predict": True}}, set()),
        ({"scope": 1}, set()),
    ],
)
def test_scopes_are_read_as_issuers_write_them(guard, said, may):
    credential = token(**said)
    for _ in range(2):  # verified, then remembered
        for scope in ("predict", "metadata"):
            problem = ask(guard, scope, authorization=b"Bearer " + credential)
            assert (problem is None) == (scope in may)
            assert problem is None or (problem.status, problem.code) == (403, "forbidden")


def test_clocks_may_differ_a_little(guard):
    assert bearer(guard, token(exp=int(time.time()) - 5))[0] == 200
    assert bearer(guard, token(nbf=int(time.time()) + 5))[0] == 200


def test_a_remembered_token_expires_as_well(guard, monkeypatch):
    credential = token(exp=int(time.time()) + 100)
    assert bearer(guard, credential)[0] == 200
    now = time.time()
    monkeypatch.setattr(tokens, "time", lambda: now + 111)
    assert guard._tokens.recall(b"Bearer " + credential) is None


@pytest.mark.parametrize("exp", [10**400, 1e308, 2**63])
def test_a_token_without_end_is_no_failure(guard, exp):
    assert {bearer(guard, token(exp=exp))[0] for _ in range(2)} == {200}


def test_a_token_is_not_taken_in_the_place_of_an_api_key(guard):
    assert ask(guard, x_api_key=token()).status == 401


def test_a_token_is_verified_once(guard, monkeypatch):
    credential = token(jti="once")
    assert bearer(guard, credential)[0] == 200
    monkeypatch.setattr(guard._tokens, "verify", None)
    assert bearer(guard, credential)[0] == 200


def test_a_wrong_token_is_not_remembered(guard):
    before = len(guard._tokens._young)
    for number in range(20):
        bearer(guard, token("stranger", jti=str(number)))
    assert len(guard._tokens._young) == before


def test_the_memory_is_bounded_and_keeps_what_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(tokens, "REMEMBERED", 10)
    (tmp_path / "jwks.json").write_bytes(jwks(jwk("edwards", "EdDSA")))
    guard = Guard(tokens=Tokens(ISSUER, AUDIENCE, str(tmp_path / "jwks.json"), ALLOWED))
    often, held = token("edwards", "EdDSA"), guard._tokens
    for number in range(100):
        assert bearer(guard, token("edwards", "EdDSA", jti=str(number)))[0] == 200
        assert bearer(guard, often)[0] == 200
        assert len(held._young) + len(held._old) <= 20
        assert held.recall(b"Bearer " + often) is not None
    guard.close()


def test_a_key_set_with_one_key_needs_no_name(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(jwk()))
    guard = Guard(tokens=Tokens(ISSUER, AUDIENCE, str(tmp_path / "jwks.json"), ALLOWED))
    assert bearer(guard, token(kid=None))[0] == 200
    others = jwt.encode(claims(), private("stranger"), "RS256").encode()
    assert bearer(guard, others)[0] == 401
    guard.close()


def test_keys_that_are_not_for_this_are_passed_over(tmp_path):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak_jwk = {**issuer.RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "weak"}
    secret = {"kty": "oct", "kid": "secret", "k": base64.urlsafe_b64encode(b"s" * 64).decode().rstrip("=")}
    (tmp_path / "jwks.json").write_bytes(
        jwks(
            jwk("for encryption", "RS256", use="enc"),
            jwk("for signing", "RS256", key_ops=["sign"]),
            jwk("bound", "RS256", alg="RS512"),
            jwk("damaged", "RS256", n="!"),
            jwk("typed", "RS256", n=7),
            weak_jwk,
            secret,
            {},
            7,
            jwk("good"),
        )
    )
    guard = Guard(tokens=Tokens(ISSUER, AUDIENCE, str(tmp_path / "jwks.json"), ALLOWED))
    assert set(guard._tokens._key_set._keys) == {("good", "RS256")}
    assert bearer(guard, token("good"))[0] == 200
    for kid in ("for encryption", "for signing", "bound", "damaged"):
        assert bearer(guard, token(kid))[0] == 401
    with_secret = jwt.encode(claims(), b"s" * 64, "HS256", headers={"kid": "secret"}).encode()
    assert bearer(guard, with_secret)[0] == 401
    guard.close()


def test_a_private_key_among_the_public_ones_is_not_kept(tmp_path):
    leaked = {**issuer.RSAAlgorithm.to_jwk(private("one"), as_dict=True), "kid": "one"}
    assert "d" in leaked
    leaked.pop("key_ops", None)
    (tmp_path / "jwks.json").write_bytes(jwks(leaked))
    guard = Guard(tokens=Tokens(ISSUER, AUDIENCE, str(tmp_path / "jwks.json"), ALLOWED))
    (key,) = guard._tokens._key_set._keys.values()
    assert isinstance(key, rsa.RSAPublicKey)
    assert bearer(guard, token())[0] == 200
    private_pem = private("one").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert private_pem[30:90] not in repr(vars(guard._tokens._key_set)).encode()
    guard.close()


SAMPLES = {
    algorithm: token(kid, algorithm) for kid, algorithm in (("one", "RS256"), ("curve", "ES256"), ("edwards", "EdDSA"))
}


@given(algorithm=st.sampled_from(sorted(SAMPLES)), at=st.integers(0, 5000), byte=st.integers(0, 255))
def test_no_token_with_one_changed_byte_passes(guard, algorithm, at, byte):
    credential = bytearray(SAMPLES[algorithm])
    at %= len(credential)
    if credential[at] == byte:
        byte ^= 1
    credential[at] = byte
    assert bearer(guard, bytes(credential))[0] in {401, 503}


@pytest.mark.parametrize("algorithm", sorted(SAMPLES))
def test_no_other_spelling_of_the_last_letters_passes(guard, algorithm):
    # Base64 leaves some bits of the last letter unused: decoded carelessly, several letters give the same signature.
    good = SAMPLES[algorithm]
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n"
    for at in (1, 2):
        for letter in letters:
            changed = bytearray(good)
            changed[-at] = letter
            assert (bearer(guard, bytes(changed))[0] == 200) == (bytes(changed) == good)
    for more in (b"=", b"==", b"A", b"\n", b"."):
        assert bearer(guard, good + more)[0] == 401


@given(
    credential=st.binary(max_size=200)
    | st.builds(
        lambda parts: b".".join(map(base64url_encode, parts)), st.lists(st.binary(max_size=60), min_size=3, max_size=3)
    )
)
def test_no_bytes_at_all_are_a_failure_of_ours(guard, credential):
    assert bearer(guard, credential)[0] in {401, 503}
