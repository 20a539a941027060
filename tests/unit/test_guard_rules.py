"""The rules of secrets: their examples, what must not be taken for one, and the words that a prefilter looks for."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.guard.contents import describe, inspect, is_binary, plain, prefilter
from br3.guard.findings import SEVERITIES
from br3.secrets import judging, matching
from br3.secrets.examples import fill
from br3.secrets.rules import RULES, Rule

TRUE = [pytest.param(rule, example, id=f"{rule.id}-{n}") for rule in RULES for n, example in enumerate(rule.true)]
FALSE = [pytest.param(example, id=f"{rule.id}-{n}") for rule in RULES for n, example in enumerate(rule.false)]
FAMILIES = (
    "anthropic openai openrouter jwt notion apify aws github gitlab slack stripe google npm pypi azure private-key "
    "bearer-authorization basic-authorization database-url generic"
).split()


def found(text: str) -> list[str]:
    """The rules that find something, in order."""
    return [hit.rule.id for hit in matching.find(text.encode())]


@pytest.mark.parametrize(("rule", "example"), TRUE)
def test_a_true_example_has_one_finding_of_its_rule(rule: Rule, example: str) -> None:
    for seed in range(20):
        text = fill(example, Random(seed))
        assert found(text) == [rule.id], text


@pytest.mark.parametrize("example", FALSE)
def test_a_false_example_has_no_finding(example: str) -> None:
    assert found(example) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_rule(family: str) -> None:
    assert any(rule.id.startswith(family) for rule in RULES)


def test_rules_say_what_they_are_about() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    for rule in RULES:
        assert rule.true and rule.false, rule.id
        assert rule.severity in SEVERITIES and describe(rule.id) == rule.description, rule.id
        assert rule.judge in ("token", "secret", "password", "url"), rule.id
        assert all(len(word) >= 2 and (word == word.lower() or not rule.folded) for word in rule.keywords), rule.id
        assert all(_keyword(rule, example) for example in rule.true), rule.id


def _keyword(rule: Rule, example: str) -> str:
    return next(word for word in rule.keywords if word in (example.lower() if rule.folded else example))


# What naive rules took for secrets.
HARD = [
    "API_KEY=YOUR_API_KEY_HERE",
    "postgresql://user:password@localhost",
    "postgresql://user:password@localhost:5432/app",
    "postgresql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/app",
    "export DATABASE_URL=postgres://{{ user }}:{{ password }}@{{ host }}/db",
    "ANTHROPIC_API_KEY=sk-ant-xxxx",
    "ANTHROPIC_API_KEY=sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "the AWS documentation key (AKIAIOSFODNN7EXAMPLE)",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    'secret_name="my-app/prod"',
    "SLACK_TOKEN=xoxb-your-token-here",
    "sk-folding-cube",
    "the disk-encryption-settings-of-the-whole-fleet",
    "a basic understanding of authorization",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "Authorization: Basic {credentials}",
    "password: ${PASSWORD}",
    "password = config['database']['password']",
    "token = data.get('access_token')",
    "if password != confirmed_password2:",
    'placeholder="Enter your password"',
    "const token = await getToken1();",
    "GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}",
    '"integrity": "sha512-' + "Zm9vYmFy" * 10 + '=="',
    'token_count = "tokens-2024-05-01"',
    "secret: projects/42/secrets/database-password1",
    "API_KEY=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "SECRET_KEY=0123456789abcdef0123456789abcdef",
    'password="<password>"',
    'password_reset_token_expires_at = "2024-05-01T10:00:00Z"',
    "from tokenizers import Tokenizer2",
    "private_key_path = /etc/ssl/private/service1.pem",
    "PASSWORD_HASHERS = ['django.contrib.auth.hashers.PBKDF2PasswordHasher']",
    "'ASPasswordCredentialIdentity', 'ASWebAuthenticationSession2'",
    "keyring get service password",
    "TOKEN=ghp_" + "aqm" * 12,
    "openrouter: sk-or-v1-" + "0f" * 32,
    'token = "https://auth.shop.io/v1/9f8a7b6c5d4e3f2a"',
    'password: "vault:secret/data#k3y9XzQ2"',
    "access_token = obj.r3fr3sh_t0k3n_v4lue9",
    'api_key = "aaaabbbbccccdddd1z9q2w"',
]


@pytest.mark.parametrize("text", HARD)
def test_what_only_looks_like_a_secret_is_passed_over(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text", ["mask-proj-<<w60>>", "TAKIA<<216>>", "0ghp_<<a36>>", "xeyJ<<w34>>.eyJ<<w80>>.<<w43>>"]
)
def test_a_prefix_in_the_middle_of_a_word_begins_no_secret(text: str) -> None:
    assert found(fill(text, Random(1))) == []


def test_an_escaped_newline_is_no_part_of_a_word() -> None:
    assert found(fill(r"one\nghp_<<a36>>", Random(1))) == ["github"]


# What may stand around a secret without becoming part of it.
BEFORE = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=60).map(lambda text: text + "\n")
AFTER = st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: "\n" + text)


@settings(derandomize=True, max_examples=300)
@given(st.sampled_from(TRUE), st.integers(0, 10**9), BEFORE, AFTER, st.booleans())
def test_a_secret_anywhere_in_a_text_is_found_and_passes_the_prefilter(
    pair: object, seed: int, before: str, after: str, large: bool
) -> None:
    rule, example = pair.values  # type: ignore[attr-defined]
    text = before + fill(example, Random(seed)) + after + ("harmless line\n" * 1000 if large else "")
    findings = inspect("a.txt", text.encode())
    assert rule.id in [finding.rule for finding in findings]
    assert any(word in text.lower() for word in prefilter())


@settings(derandomize=True)
@given(st.binary(max_size=200), st.sampled_from(TRUE), st.integers(0, 10**6))
def test_no_bytes_make_the_search_fail_and_every_hit_has_a_keyword(noise: bytes, pair: object, seed: int) -> None:
    _, example = pair.values  # type: ignore[attr-defined]
    data = noise + fill(example, Random(seed)).encode() + noise
    for hit in matching.find(data):
        around = data[hit.at : hit.end].lower()
        assert any(word.lower().encode() in around for word in hit.rule.keywords), hit.rule.id
        assert any(word.encode() in around for word in matching.keywords())


# Pieces of words, whole words in every case, examples: what gates must let through as a search for each word does.
SOUP = st.lists(
    st.one_of(
        st.sampled_from(
            [word[a:b] for rule in RULES for word in rule.keywords for a, b in ((0, 99), (1, 99), (0, -1))]
        ),
        st.sampled_from([word.upper() for rule in RULES for word in rule.keywords]),
        st.builds(lambda pair, seed: fill(pair.values[1], Random(seed)), st.sampled_from(TRUE), st.integers(0, 99)),
        st.text("abckpgxsJAQ_-:/=~019 \n\"'", max_size=12),
    ),
    max_size=60,
).map("".join)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(SOUP)
def test_gates_change_nothing_in_what_is_found(soup: str) -> None:
    data = soup.encode()
    assert facts(matching.find(data), data) == facts(without_gates(data), data)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_gates_let_every_keyword_of_a_rule_through(rule: Rule) -> None:
    matching.prepare()
    for word in rule.keywords:
        for around in ("{}", "x{}", "{}x", "_{0}{0}_", "pp{}", "https://{}", "{}kekey", "xo{}", "{}://"):
            data = around.format(word).encode()
            low = data.lower()
            met = {word for number, word in matching._gates[0].met(data, low) if RULES[number] is rule}
            assert word.encode() in met or (rule.needs and b"://" not in data)


def test_only_what_is_of_the_web_is_left_out_of_urls() -> None:
    url = fill("clickhouse+https://app:<<a16>>@db.shop.io/x", Random(1))
    for before in ("", "https://a.b ", "x " * 9000):
        assert found(before + url) == ["database-url"]


def facts(hits: list[matching.Hit], data: bytes) -> list[tuple[str, int, bytes]]:
    return [(hit.rule.id, hit.at, data[hit.start : hit.end]) for hit in hits]


def without_gates(data: bytes) -> list[matching.Hit]:
    """Each keyword looked for by itself."""
    low = data.lower()
    hits = matching._Hits()
    met = [
        (number, word, at)
        for number, word in matching._WORDS
        if (at := (low if RULES[number].folded else data).find(word)) >= 0
    ]
    for number, word, at in sorted(met, key=matching._order):
        matching._collect(RULES[number], word, at, data, low, hits)
    return hits.found


def test_a_tree_of_examples_has_the_same_findings_with_gates_and_without() -> None:
    matching.prepare()
    random = Random(9)
    examples = [example for rule in RULES for example in (*rule.true, *rule.false)]
    total = 0
    for _ in range(40):
        lines = [fill(random.choice(examples), random) for _ in range(60)]
        data = "\n".join(line.upper() if random.random() < 0.1 else line for line in lines).encode()
        assert facts(matching.find(data), data) == facts(without_gates(data), data)
        total += len(without_gates(data))
    assert total > 1000


def test_a_word_of_the_prefilter_that_another_contains_is_left_out() -> None:
    words = matching.keywords()
    assert len(words) < len({word.lower() for rule in RULES for word in rule.keywords})
    assert not any(a != b and a in b for a in words for b in words)


@pytest.mark.parametrize(("rule", "example"), TRUE)
def test_nothing_that_is_shown_contains_the_secret(rule: Rule, example: str) -> None:
    text = fill(example, Random(7))
    (finding,) = inspect("a.txt", text.encode())
    secret = finding.content.decode()
    assert len(secret) >= 8
    shown = f"{finding.as_dict()}"
    assert secret not in shown and secret[4:-2] not in shown
    assert secret not in matching.without_secrets(text)


def test_of_two_rules_the_one_that_says_more_is_told() -> None:
    assert found(fill('password = "ghp_<<a36>>"', Random(1))) == ["github"]
    assert found(fill("Authorization: Bearer ghp_<<a36>>", Random(1))) == ["github"]


def test_each_secret_of_a_line_is_told() -> None:
    assert found(fill("a: ghp_<<a36>> b: ghp_<<a36>> c: AKIA<<216>>", Random(1))) == [
        "github",
        "github",
        "aws-access-key",
    ]


def test_the_line_of_a_finding_is_where_its_match_begins() -> None:
    text = "\n\n" + fill('x\ntoken = "<<a32>>"\n\n-----BEGIN PRIVATE' + " KEY-----\n<<b64>>\n<<b64>>\n", Random(1))
    assert [(f.rule, f.line) for f in inspect("a", text.encode())] == [("generic-secret", 4), ("private-key", 6)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_read(encoding: str) -> None:
    data = fill("one\ntwo\ntoken = ghp_<<a36>>\n", Random(1)).encode(encoding)
    assert not is_binary(data)
    assert [(f.rule, f.line) for f in inspect("a", plain(data))] == [("github", 3)]


def test_a_nul_hides_nothing() -> None:
    data = fill("\0token = ghp_<<a18>>\0<<a18>>\n", Random(1)).encode()
    assert not is_binary(data)
    assert [f.rule for f in inspect("a", plain(data))] == ["github"]


@pytest.mark.parametrize(
    "data", [b"\0" * 100, b"\x7fELF\2\1\1" + b"\0\1\2\3" * 50, b"GIF89a\0\1\2\3\4\5\6\7\x0e\x0f\x10"]
)
def test_what_is_no_text_is_told_from_it(data: bytes) -> None:
    assert is_binary(data)
    assert not is_binary(b"plain text\n")


def test_entropy_is_that_of_shannon() -> None:
    assert judging.entropy(b"") == judging.entropy(b"aaaa") == 0
    assert judging.entropy(b"abab") == 1
    assert judging.entropy(bytes(range(64))) == 6


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> branch\n", [2, 6]),
        ("<<<<<<< HEAD\r\n||||||| base\r\n=======\r\n>>>>>>> x\r\n", [1, 2, 4]),
        ("Title\n=======\ntext\n", []),
        ("  <<<<<<< HEAD\n<<<<<<<< eight\n>>>>>>>>> nine\n", []),
        ("<<<<<<<\n", [1]),
    ],
)
def test_conflict_markers_are_found_at_the_beginning_of_lines(text: str, lines: list[int]) -> None:
    assert [(f.rule, f.line) for f in inspect("a", text.encode())] == [("conflict-marker", line) for line in lines]
