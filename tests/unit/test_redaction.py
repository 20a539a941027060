from __future__ import annotations

import json
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.secrets import known_secrets, mask, matching, redact, redact_value, redaction
from br3.secrets.examples import fill
from br3.secrets.redaction import RULES
from br3.secrets.rules import RULES as TABLE
from br3.secrets.rules import Rule

ALNUM = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzAbCdEfGhIjKlMnO"

# Assembled here, so that no scanner takes the file for a leak.
FAKES = {
    "anthropic": "sk-" + "ant-" + "api03-" + ALNUM,
    "openai": "sk" + "-" + ALNUM,
    "openai project": "sk" + "-proj-" + ALNUM + "_-" + ALNUM,
    "github classic": "gh" + "p_" + ALNUM[:36],
    "github oauth": "gh" + "o_" + ALNUM[:36],
    "github user": "gh" + "u_" + ALNUM[:36],
    "github server": "gh" + "s_" + ALNUM[:36],
    "github refresh": "gh" + "r_" + ALNUM[:36],
    "github fine-grained": "github" + "_pat_" + ALNUM[:22] + "_" + ALNUM,
    "gitlab": "gl" + "pat-" + ALNUM[:20],
    "slack": "xox" + "b-" + "123456789012-" + ALNUM[:24],
    "aws key": "AK" + "IA" + "ABCDEFGHIJKLMNOP",
    "aws session key": "AS" + "IA" + "ABCDEFGHIJKLMNOP",
    "google": "AI" + "za" + ALNUM[:35],
    "stripe": "sk" + "_live_" + ALNUM[:24],
    "stripe restricted": "rk" + "_live_" + ALNUM[:24],
    "npm": "np" + "m_" + ALNUM[:36],
    "pypi": "py" + "pi-" + "AgEIcHlwaS5vcmc" + ALNUM,
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0In0." + ALNUM[:43],
}


def pem(newline: str = "\n") -> str:
    kind = "RSA PRIVATE" + " KEY"
    body = newline.join([ALNUM * 2] * 3)
    return f"-----BEGIN {kind}-----{newline}{body}{newline}-----END {kind}-----"


@pytest.mark.parametrize("secret", FAKES.values(), ids=FAKES.keys())
@pytest.mark.parametrize("around", ["{}", "key {} found", '{{"a": "{}"}}', "line\\n{}\\n", "x={},y"])
def test_a_secret_is_masked_wherever_it_stands(secret: str, around: str) -> None:
    assert redact(around.format(secret)) == around.format(mask(secret))


def test_a_mask_shows_the_ends_of_long_secrets_only() -> None:
    assert mask("abcdefghijklmnop") == "abcd…op"
    assert mask("abcdefghijklmno") == "***"
    assert mask("") == "***"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n", "\n+", "\n-", "\n    "])
def test_the_body_of_a_private_key_is_hidden(newline: str) -> None:
    shown = redact(f"before\n{pem(newline)}\nafter")
    assert ALNUM not in shown
    assert shown.startswith("before\n-----BEGIN RSA PRIVATE")
    assert shown.endswith("-----\nafter")


def test_a_private_key_that_is_cut_off_is_hidden() -> None:
    assert ALNUM not in redact(pem()[:150])


def test_two_private_keys_leave_what_stands_between_them() -> None:
    assert "\nbetween\n" in redact(f"{pem()}\nbetween\n{pem()}")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic dXNl…=="),
        ('{"Authorization": "Bearer abcdefgh12"}', '{"Authorization": "Bearer ***"}'),
        ("curl -H 'x-api-key: abcdefgh12' url", "curl -H 'x-api-key: ***' url"),
        ("X-Api-Key: abcdefgh12", "X-Api-Key: ***"),
        ("postgres://user:hunter2@db:5432/app", "postgres://user:***@db:5432/app"),
        ("postgresql+asyncpg://u:p@ss@db/app", "postgresql+asyncpg://u:***@db/app"),
        ("redis://:longer-than-sixteen@cache/0", "redis://:long…en@cache/0"),
        ("SERVICE_API_KEY=abcdefgh12", "SERVICE_API_KEY=***"),
        ('export DEPLOY_TOKEN="abcdefgh 12"', 'export DEPLOY_TOKEN="***"'),
        ("CLIENT_SECRET='abcdefgh12'", "CLIENT_SECRET='***'"),
        ("PGPASSWORD=abcdefgh12 psql", "PGPASSWORD=*** psql"),
        ("AWS_SECRET_ACCESS_KEY=abcdefgh12", "AWS_SECRET_ACCESS_KEY=***"),
        ('{"DEPLOY_TOKEN": "abcdefgh12"}', '{"DEPLOY_TOKEN": "***"}'),
    ],
)
def test_only_the_secret_part_of_a_setting_is_masked(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the disk-encryption-settings-of-the-whole-fleet and task-abcdefghijklmnopqrstuvwxyz",
        "SERVICE_API_KEY=changeme",
        "SERVICE_API_KEY=xxxxxxxxxxxx",
        "SERVICE_API_KEY=your-api-key-here",
        "SERVICE_API_KEY=${SERVICE_API_KEY}",
        'SERVICE_API_KEY="$SERVICE_API_KEY"',
        "SERVICE_API_KEY=<your key>",
        "SERVICE_API_KEY=",
        "DEPLOY_TOKEN=short",
        "DEPLOY_TOKEN: environment variable",
        "x-api-key: $ANTHROPIC_KEY",
        "MAX_TOKENS=1000000000",
        "npm_config_registry_of_the_whole_company",
        "http://localhost:8080/path?mail=someone@example.org",
        "git@example.org:owner/name.git",
        "https://someone@example.org/owner/name.git",
        "-----BEGIN PUBLIC KEY-----\nabcdefgh\n-----END PUBLIC KEY-----",
        "write -----BEGIN PRIVATE" + " KEY----- at the top, then the body",
        "eyJ is how a token in JSON begins.",
    ],
)
def test_text_without_secrets_comes_back_as_the_same_object(text: str) -> None:
    assert redact(text) is text


def test_known_values_are_masked_longest_first() -> None:
    assert redact("a hunter2hunter2x b", ["hunter2h", "hunter2hunter2x"]) == "a *** b"


def test_known_values_that_could_be_words_are_ignored() -> None:
    assert redact("the code works", ["code", ""]) == "the code works"


def test_known_secrets_are_the_long_values_of_variables_named_for_secrets() -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "SERVICE_API_KEY": "value-of-key",
        "deploy_token": "value-of-the-token",
        "CLIENT_SECRET": "value-of-secret",
        "PGPASSWORD": "value-of-password",
        "DEPLOY_TOKEN_2": "value-of-token-2",
        "OTHER_TOKEN": "short",
        "UNSET_TOKEN": "${DEPLOY_TOKEN}",
        "MONKEY": "value-of-monkey",
        "MAX_TOKENS": "1000000000",
        "TOKEN_COUNTER": "value-of-counter",
    }
    assert set(known_secrets(environ)) == {
        "value-of-key",
        "value-of-the-token",
        "value-of-secret",
        "value-of-password",
        "value-of-token-2",
    }


def test_values_are_redacted_at_any_depth_and_keys_are_left() -> None:
    key = FAKES["anthropic"]
    value = {
        key: [f"use {key}", ("plain", 1, None, True)],
        "env": {"password": "tiny", "accessToken": "abcdefghijklmnop", "api_key": "", "tokens": "twelve"},
        "token": 12,
    }
    assert redact_value(value, iter(["plain"])) == {
        key: [f"use {mask(key)}", ("plain", 1, None, True)],
        "env": {"password": "***", "accessToken": "abcd…op", "api_key": "", "tokens": "twelve"},
        "token": 12,
    }


def test_known_values_are_masked_in_every_part_of_a_value() -> None:
    assert redact_value(["hunter2hunter2", {"a": "hunter2hunter2"}], iter(["hunter2hunter2"])) == [
        "***",
        {"a": "***"},
    ]


def test_the_value_given_is_not_changed() -> None:
    value = {"password": "hunter2", "list": ["a"]}
    redact_value(value)
    assert value == {"password": "hunter2", "list": ["a"]}


EXAMPLES = [pytest.param(rule, example, id=f"{rule.id}-{n}") for rule in TABLE for n, example in enumerate(rule.true)]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
@pytest.mark.parametrize("around", ["{}", "words before\n{}\nwords after", '{{"text": "{}"}}', "a" * 9000 + " {}"])
def test_what_the_guard_finds_is_masked(rule: Rule, example: str, around: str) -> None:
    for seed in range(5):
        text = around.format(fill(example, Random(seed)))
        for hit in matching.find(text.encode()):
            assert text.encode()[hit.start : hit.end].decode() not in redact(text)
        assert matching.find(redact(text).encode()) == []


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_every_true_example_is_masked(rule: Rule, example: str) -> None:
    text = fill(example, Random(11))
    (hit,) = matching.find(text.encode())
    secret = text.encode()[hit.start : hit.end].decode()
    shown = redact(text)
    assert secret not in shown and (len(secret) < 16 or secret[4:-2] not in shown)


@pytest.mark.parametrize(
    "kind", ["PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 90\n", "-----BEGIN EC PRIVATE" + " KEY-----\n"]
)
def test_no_line_of_a_key_s_body_is_left_though_it_has_no_end(kind: str) -> None:
    lines = [f"{number:02}" + ALNUM * 2 for number in range(90)]
    header = "" if kind.startswith("PuTTY") else "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\n"
    shown = redact(kind + header + "\n".join(lines))
    assert not [line for line in lines if line[2:20] in shown]


@pytest.mark.parametrize("rule", [*TABLE, *RULES], ids=lambda rule: rule.id)
def test_the_one_search_stops_at_every_keyword(rule: Rule | redaction.Rule) -> None:
    for word in rule.keywords:
        for around in ("{}", "x{}", "_{}", "{}x", "kekey{}", "x {} ken", "aiz{}"):
            text = around.format("ASIA" if word == "asia" else word)
            url = isinstance(rule, Rule) and rule.needs and text + "://"
            assert not redaction._harmless(url or text, ()), text


def test_a_secret_beside_what_is_no_text_is_masked() -> None:
    token = FAKES["github classic"]
    assert redact(f"\udc80 {token} \ud800 é") == f"\udc80 {mask(token)} \ud800 é"


PIECES = st.one_of(
    st.builds(lambda pair, seed: fill(pair.values[1], Random(seed)), st.sampled_from(EXAMPLES), st.integers(0, 99)),
    st.sampled_from([example for rule in TABLE for example in rule.false]),
    st.sampled_from([*FAKES.values(), pem(), pem("\\n")]),
    st.sampled_from(["***", "…", "abcd…yz", "changeme", "${X}", "<x>", "xxxxxxxx"]),
    st.sampled_from(["A_TOKEN=", "PASSWORD: '", "x-api-key: ", "Authorization: Bearer ", "db://u:", "@h/"]),
    st.sampled_from([" ", "\n", "\\n", '"', "'", ":", "=", "-----", "eyJ", "sk-", "://", "@", "/"]),
    st.text(max_size=20),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)
KNOWN = st.lists(st.one_of(TEXTS, st.text("ab*…", min_size=8, max_size=20)), max_size=3)


@settings(deadline=None)
@given(TEXTS, KNOWN)
def test_redacting_twice_changes_nothing(text: str, known: list[str]) -> None:
    once = redact(text, known)
    assert redact(once, known) is once


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "password", "token"]), st.one_of(TEXTS, st.lists(TEXTS))))
def test_redacting_a_value_twice_changes_nothing(value: dict[str, object]) -> None:
    once = redact_value(value)
    assert redact_value(once) == once


@settings(deadline=None)
@given(st.sampled_from(sorted(FAKES.values())), st.text(), st.text())
def test_what_stands_around_a_secret_stays_json(secret: str, before: str, after: str) -> None:
    line = json.dumps({"before": before, "secret": f"a {secret} b", "after": after})
    assert json.loads(redact(line))["secret"] == f"a {mask(secret)} b"


def test_rules_have_ids_of_their_own_and_words_to_look_for() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.keywords for rule in RULES)


def test_importing_it_imports_nothing_outside_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import br3.secrets\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(tops - set(sys.stdlib_module_names)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['br3']"
