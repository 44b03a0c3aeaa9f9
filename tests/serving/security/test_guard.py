"""The guard as the command line makes it: keys and tokens together, nothing imported that is not used, bad flags in a line."""

import argparse
import hashlib
import json
import subprocess
import sys

import pytest

from contracts.errors import InputError
from serving.security import guard as guards
from serving.security.refusals import forbidden, invalid, missing, too_often, undecided
from tests.serving.security.asking import ask, bearer
from tests.serving.security.issuer import AUDIENCE, ISSUER, jwk, jwks, token

KEY = b"slipway_key"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "jwks.json").write_bytes(jwks(jwk()))
    line = {"id": "one", "sha256": hashlib.sha256(KEY).hexdigest(), "scopes": ["predict"]}
    (tmp_path / "keys.json").write_text(json.dumps({"format": 1, "keys": [line]}))
    return tmp_path


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    guards.add_arguments(parser)
    return parser.parse_args(line)


@pytest.fixture
def made():
    made = []

    def make(*line: str) -> guards.Guard | None:
        made.append(guards.from_options(parsed(*line)))
        return made[-1]

    yield make
    for each in made:
        if each is not None:
            each.close()


def jwt_flags(files, **other: str) -> list[str]:
    flags = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(files / "jwks.json"), **other}
    return [f"--jwt-{name}={value}" for name, value in flags.items() if value is not None]


def test_without_flags_there_is_no_guard(made):
    assert made() is None


def test_keys_and_tokens_are_taken_side_by_side(made, files):
    guard = made(f"--api-keys={files / 'keys.json'}", *jwt_flags(files))
    assert guard.schemes == ("api_key", "jwt")
    for _ in range(2):
        assert bearer(guard, KEY)[0] == 200
        assert bearer(guard, KEY, "metadata")[0] == 403
        assert bearer(guard, token(), "metadata")[0] == 200
        assert ask(guard, x_api_key=KEY) is None
        assert bearer(guard, b"neither") == bearer(guard, b"another")
        assert bearer(guard, token("stranger"))[0] == 401


def test_keys_alone_take_no_token_and_tokens_alone_no_key(made, files):
    keys, tokens = made(f"--api-keys={files / 'keys.json'}"), made(*jwt_flags(files))
    assert (keys.schemes, tokens.schemes) == (("api_key",), ("jwt",))
    assert (bearer(keys, token())[0], bearer(keys, KEY)[0]) == (401, 200)
    assert (bearer(tokens, token())[0], bearer(tokens, KEY)[0]) == (200, 401)
    assert ask(tokens, x_api_key=KEY).status == 401


@pytest.mark.parametrize("missing_one", ["issuer", "audience", "jwks"])
@pytest.mark.parametrize("given", [None, ""])
def test_half_an_issuer_is_refused(made, files, missing_one, given):
    with pytest.raises(InputError, match="belong together"):
        made(*jwt_flags(files, **{missing_one: given}))


@pytest.mark.parametrize("algorithms", ["none", "HS256", "RS256,HS512", "RS257", ""])
def test_an_algorithm_that_lets_anybody_sign_is_refused(made, files, algorithms):
    with pytest.raises(InputError, match=r"^--jwt-algorithms: ") as refused:
        made(*jwt_flags(files, algorithms=algorithms))
    assert "\n" not in str(refused.value)


def test_the_algorithms_are_those_that_were_asked_for(made, files):
    assert bearer(made(*jwt_flags(files, algorithms="RS256, ES256")), token())[0] == 200
    with pytest.raises(InputError, match="holds no public key for ES256"):
        made(*jwt_flags(files, algorithms="ES256"))


def test_a_file_that_is_not_there_is_refused(made, files):
    with pytest.raises(InputError, match="cannot be read"):
        made("--api-keys=nowhere.yml")


@pytest.mark.parametrize("more", [(), ("--api-keys",)])
def test_nothing_is_imported_that_is_not_used(environments, root, files, more):
    code = (
        "import argparse, sys; from serving.security import guard; parser = argparse.ArgumentParser(); "
        "guard.add_arguments(parser); guard.from_options(parser.parse_args(sys.argv[1:])); "
        "print(sorted({'jwt', 'cryptography', 'ssl', 'urllib.request', 'yaml'} & sys.modules.keys()))"
    )
    arguments = [*more, *(str(files / "keys.json") for _ in more)]
    command = [environments["serve"], "-c", code, *arguments]
    assert subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_a_missing_package_is_said_in_one_line(root, files):
    code = (
        "import argparse, sys; sys.modules['jwt'] = None; from serving.security import guard; "
        "parser = argparse.ArgumentParser(); guard.add_arguments(parser); guard.from_options(parser.parse_args(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *jwt_flags(files)], cwd=root, capture_output=True, text=True)
    assert "InputError: --jwt-issuer: needs pyjwt and cryptography" in done.stderr.splitlines()[-1]


def test_refusals_are_made_anew_each_time():
    # One that is kept would grow with every traceback.
    for make, arguments in (
        (missing, ()),
        (invalid, ("x",)),
        (forbidden, ("predict",)),
        (too_often, (1,)),
        (undecided, (1,)),
    ):
        assert make(*arguments) is not make(*arguments)
