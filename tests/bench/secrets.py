"""Secrets: precision and recall of br3 scan beside detect-secrets, and gitleaks where it is installed.

    python tests/bench/secrets.py [--seed N] [--each N] [--show]

Makes a labelled set: each of 20 families of secrets in each of 15 contexts, EACH times, and hard negatives, one file a
sample. The forms are written down here a second time, from what the vendors publish and not from the rules, and the
seeds are none that were used while the rules were written (those were below 1000). A sample counts as found when the
tool tells anything in its file. detect-secrets is installed into a throw-away environment, with its defaults.

Who writes both the rules and the set knows both: the figures say how the tools compare on these forms and contexts,
not how many secrets they would find in the world.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import shutil
import string
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import BR3, Failed, Scratch, main, note, scratch

DETECT_SECRETS = "detect-secrets==1.5.0"
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
B64 = ALNUM + "+/"
URL = ALNUM + "_-"

Maker = Callable[[random.Random], str]


def _some(alphabet: str, least: int, most: int | None = None) -> Maker:
    return lambda r: "".join(r.choice(alphabet) for _ in range(r.randint(least, most or least)))


def _of(*parts: str | Maker) -> Maker:
    return lambda r: "".join(part if isinstance(part, str) else part(r) for part in parts)


def _one(*makers: Maker) -> Maker:
    return lambda r: r.choice(makers)(r)


def _jwt(r: random.Random) -> str:
    def part(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    head = part({"alg": r.choice(["HS256", "RS256"]), "typ": "JWT"})
    body = part({"sub": _some(HEX, 12)(r), "iat": r.randint(10**9, 2 * 10**9), "name": _some(ALNUM, 8)(r)})
    return f"{head}.{body}.{_some(URL, 43)(r)}"


def _pem(r: random.Random) -> str:
    kind = r.choice(["RSA ", "EC ", "", "OPENSSH ", "DSA "])
    lines = "\n".join(_some(B64, 64)(r) for _ in range(r.randint(3, 12)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def _basic(r: random.Random) -> str:
    user = r.choice(["deploy", "robot", "ci", "svc-backup"])
    return "Authorization: Basic " + base64.b64encode(f"{user}:{_some(ALNUM, 14, 24)(r)}".encode()).decode()


def _url(r: random.Random) -> str:
    scheme = r.choice(["postgres", "postgresql", "mysql", "mongodb", "mongodb+srv", "redis", "amqp", "mssql+pyodbc"])
    host = r.choice(["db.internal", "10.1.2.3", "prod-1.rds.amazonaws.com", "cluster0.ab1cd.mongodb.net"])
    return f"{scheme}://{r.choice(['app', 'admin', 'svc'])}:{_some(ALNUM, 10, 24)(r)}@{host}:5432/orders"


def _slack(r: random.Random) -> str:
    number = _some(string.digits, 11, 13)
    return _one(
        _of("xoxb-", number, "-", number, "-", _some(ALNUM, 24)),
        _of("xoxp-", number, "-", number, "-", number, "-", _some(HEX, 32)),
        _of("https://hooks.", "slack.com/services/T", _some(string.digits + string.ascii_uppercase, 10), "/B",
            _some(string.digits + string.ascii_uppercase, 10), "/", _some(ALNUM, 24)),
    )(r)  # fmt: skip


UPPER = string.ascii_uppercase + "234567"
_OPENAI_MIDDLE = "T3Blbk" + "FJ"

FAMILIES: dict[str, Maker] = {
    "anthropic": _of("sk-", "ant-", _one(_of("api03-"), _of("admin01-")), _some(URL, 93), "AA"),
    "openai": _one(
        _of("sk-", "proj-", _some(URL, 74), _OPENAI_MIDDLE, _some(URL, 74)),
        _of("sk-", "svcacct-", _some(URL, 74), _OPENAI_MIDDLE, _some(URL, 74)),
        _of("sk-", _some(ALNUM, 20), _OPENAI_MIDDLE, _some(ALNUM, 20)),
    ),
    "openrouter": _of("sk-", "or-v1-", _some(HEX, 64)),
    "jwt": _jwt,
    "notion": _one(_of("secret_", _some(ALNUM, 43)), _of("ntn_", _some(string.digits, 11), _some(ALNUM, 35))),
    "apify": _of("apify_", "api_", _some(ALNUM, 36)),
    "aws id": _of("AK", "IA", _some(UPPER, 16)),
    "github": _one(
        *(_of(prefix, "_", _some(ALNUM, 36)) for prefix in ("ghp", "gho", "ghu", "ghs")),
        _of("github_", "pat_", _some(ALNUM, 22), "_", _some(ALNUM, 59)),
    ),
    "gitlab": _one(*(_of(prefix, "-", _some(URL, 20)) for prefix in ("glpat", "gldt", "glrt"))),
    "slack": _slack,
    "stripe": _of(_one(_of("sk"), _of("rk")), "_live_", _some(ALNUM, 24, 99)),
    "google": _one(_of("AI", "za", _some(URL, 35)), _of("GOC", "SPX-", _some(URL, 28))),
    "npm": _of("npm", "_", _some(ALNUM, 36)),
    "pypi": _of("pypi-", "AgEIcHlwaS5vcmc", _some(URL, 120, 160)),
    "azure": _one(
        _of("AccountName=shop;Account", "Key=", _some(B64, 86), "=="),
        _of(_some(ALNUM, 3), "8", "Q~", _some(ALNUM + "_-.", 34)),
    ),
    "private key": _pem,
    "bearer": _of("Authorization: Bearer ", _some(URL, 40, 64)),
    "basic": _basic,
    "database url": _url,
    "generic": _one(_some(ALNUM, 24, 48), _some(HEX, 32, 40), _some(B64, 40)),
}

NAMES = ["API_KEY", "SERVICE_TOKEN", "CLIENT_SECRET", "ACCESS_KEY", "AUTH_TOKEN", "PAYMENT_SECRET"]
CONTEXTS: dict[str, Callable[[str, str], str]] = {
    ".env": lambda name, value: f"DEBUG=1\n{name}={value}\nPORT=80\n",
    "quoted.env": lambda name, value: f'export {name}="{value}"\n',
    ".py": lambda name, value: f'import os\n\n{name.lower()} = "{value}"\nprint(os.name)\n',
    "call.py": lambda name, value: f"client = Client(region='eu', {name.lower()}='{value}', retries=3)\n",
    "dict.py": lambda name, value: f'config = {{"host": "a", "{name.lower()}": "{value}"}}\n',
    ".ts": lambda name, value: f"export const {_camel(name)}: string = '{value}';\n",
    ".js": lambda name, value: f"module.exports = {{ {_camel(name)}: `{value}`, port: 80 }};\n",
    ".json": lambda name, value: f'{{\n  "host": "a",\n  "{_camel(name)}": "{value}"\n}}\n',
    ".yaml": lambda name, value: f"service:\n  {name.lower()}: {value}\n  port: 80\n",
    "k8s.yaml": lambda name, value: f'env:\n  - name: {name}\n    value: "{value}"\n',
    ".toml": lambda name, value: f'[service]\n{name.lower()} = "{value}"\n',
    ".ini": lambda name, value: f"[service]\n{name.lower()} = {value}\n",
    ".go": lambda name, value: f'package main\n\nvar {_camel(name)} = "{value}"\n',
    ".java": lambda name, value: f'class A {{\n    private static final String {name} = "{value}";\n}}\n',
    ".tf": lambda name, value: f'resource "x" "y" {{\n  {name.lower()} = "{value}"\n}}\n',
}


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


WORDS = "orders users service backup worker region staging cluster token secret login reset session cache mail".split()
NEGATIVES: dict[str, Maker] = {
    "placeholder": lambda r: r.choice([
        "API_KEY=YOUR_API_KEY_HERE", "API_KEY=xxxxxxxxxxxxxxxxxxxx", "TOKEN=<your-token>", "SECRET_KEY=changeme-now",
        "AUTH_TOKEN=insert_token_here_123", "API_KEY=sk-ant-xxxxxxxxxxxxxxxxxxxxxxxx", "SLACK_TOKEN=xoxb-your-token",
        "STRIPE=sk_live_...", "GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "PASSWORD=example-password-1",
    ]),
    "documentation": lambda r: r.choice([
        "the AWS documentation key (AKIAIOSFODNN7EXAMPLE)", "secret: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "write -----BEGIN PRIVATE KEY----- first", "a Basic understanding is enough", "the Bearer scheme of RFC 6750",
    ]),
    "template": lambda r: r.choice([
        "url: postgresql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/app", "password: {{ vault_password }}",
        "token: ${{ secrets.DEPLOY_TOKEN }}", 'api_key = "%(API_KEY)s"', "Authorization: Bearer ${TOKEN}",
        'dsn = f"mysql://{user}:{password}@{host}/{name}"', "secret=$(cat /run/secrets/key)",
    ]),
    "local": lambda r: r.choice([
        "postgresql://user:password@localhost/app", "redis://localhost:6379/0", "mysql://root:root@db:3306/app",
        "amqp://guest:guest@rabbitmq:5672/",
    ]),
    "code": lambda r: r.choice([
        "token = request.headers.get('X-Auth-Token')", "password = getpass.getpass()", "apiKey: process.env.API_KEY,",
        "if (password !== passwordConfirmation) {", "const token = await auth.getAccessToken(user2);",
        "secret = hashlib.sha256(data1).hexdigest()", "self.access_token = session.access_token",
    ]),
    "reference": lambda r: r.choice([
        f'secret_name = "{r.choice(WORDS)}-{r.choice(WORDS)}/prod"', "private_key_path = /etc/ssl/private/server.key",
        "token_url = https://auth.shop.io/oauth2/v2/token", f"secretKeyRef: {r.choice(WORDS)}-{r.choice(WORDS)}-1",
        "password_file: /run/secrets/db_password1", "key: arn:aws:kms:eu-west-1:123456789012:key/prod-1",
    ]),
    "hash": lambda r: r.choice([
        f'"integrity": "sha512-{_some(B64, 86)(r)}=="', f"sha256: {_some(HEX, 64)(r)}", f"commit {_some(HEX, 40)(r)}",
        f'"_resolved": "https://registry/x/-/x-1.0.tgz#{_some(HEX, 40)(r)}"', f"ETag: \"{_some(HEX, 32)(r)}\"",
        f'password_hash = "$2b$12${_some(ALNUM + "./", 53)(r)}"',
    ]),
    "id": lambda r: r.choice([
        f"id: {_some(HEX, 8)(r)}-{_some(HEX, 4)(r)}-4{_some(HEX, 3)(r)}-a{_some(HEX, 3)(r)}-{_some(HEX, 12)(r)}",
        f"trace = '{_some(HEX, 32)(r)}'", f"<img src=\"data:image/png;base64,{_some(B64, 120)(r)}\">",
        f"session-{r.choice(WORDS)}-{r.randint(1, 99)}", f"max_tokens = {r.randint(10**8, 10**12)}",
    ]),
    "public key": lambda r: r.choice([
        f"-----BEGIN PUBLIC KEY-----\n{_some(B64, 64)(r)}\n-----END PUBLIC KEY-----",
        f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{_some(B64, 44)(r)} me@host", f"pk_live_{_some(ALNUM, 24)(r)}",
    ]),
    "words": lambda r: " ".join(r.choice(WORDS) for _ in range(12)) + f" sk-{r.choice(WORDS)}-{r.choice(WORDS)}",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A file of the set: where it is, of which family or kind, whether there is a secret in it."""

    name: str
    kind: str
    secret: bool


def make(directory: Path, seed: int, each: int) -> list[Sample]:
    """Write the set."""
    r = random.Random(seed)
    samples = []
    for family, maker in FAMILIES.items():
        for number in range(each):
            for context, wrap in CONTEXTS.items():
                ending = context if context.startswith(".") else f".{context}"
                if family == "private key":
                    text = maker(r) + "\n"
                elif family in ("bearer", "basic"):
                    text = f"curl -H '{maker(r)}' https://api.shop.io/\n"
                else:
                    text = wrap(r.choice(NAMES), maker(r))
                name = f"{family.replace(' ', '-')}-{number}{ending.replace('.', '-', ending.count('.') - 1)}"
                samples.append(Sample(name, family, True))
                (directory / name).write_text(text)
    for kind, maker in NEGATIVES.items():
        for number in range(each * len(CONTEXTS)):
            name = f"not-{kind.replace(' ', '-')}-{number}.txt"
            samples.append(Sample(name, kind, False))
            (directory / name).write_text(maker(r) + "\n")
    return samples


def by_br3(place: Scratch, directory: Path) -> set[str]:
    """The files in which br3 finds a secret."""
    return {f["file"] for f in json.loads(_read(place, [BR3, "scan", "--all", "--json"], directory))["findings"]}


def by_detect_secrets(place: Scratch, directory: Path) -> set[str]:
    """The files in which detect-secrets finds one."""
    program = installed(place)
    return set(json.loads(place.read([str(program), "scan", "--all-files", "."], directory))["results"])


def by_gitleaks(place: Scratch, directory: Path) -> set[str]:
    """The files in which gitleaks finds one."""
    report = place.path / "gitleaks.json"
    words = ["gitleaks", "detect", "--no-git", "--exit-code", "0", "--no-banner", "--report-format", "json"]
    place.read([*words, "--report-path", str(report), "--source", "."], directory)
    return {Path(found["File"]).name for found in json.loads(report.read_text())}


def installed(place: Scratch) -> Path:
    """detect-secrets in an environment of its own."""
    environment = place.path / "detect-secrets"
    if not environment.exists():
        note(f"installing {DETECT_SECRETS}")
        place.read([sys.executable, "-m", "venv", str(environment)], place.path)
        place.read([str(environment / "bin" / "pip"), "install", "--quiet", DETECT_SECRETS], place.path)
    return environment / "bin" / "detect-secrets"


def _read(place: Scratch, command: list[str], cwd: Path) -> str:
    """What br3 prints; findings are exit code 1."""
    return place.read(["sh", "-c", '"$@" || test $? -eq 1', "sh", *command], cwd)


def bench() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=20261, help="what the set is made from (default: 20261)")
    parser.add_argument("--each", type=int, default=4, help="times each family in each context (default: 4)")
    parser.add_argument("--show", action="store_true", help="list what br3 got wrong")
    options = parser.parse_args()
    with scratch() as place:
        directory = place.path / "set"
        directory.mkdir()
        samples = make(directory, options.seed, options.each)
        place.commit_all(directory, "the labelled set")
        tools = {"br3": by_br3, "detect-secrets": by_detect_secrets}
        if shutil.which("gitleaks"):
            tools["gitleaks"] = by_gitleaks
        else:
            note("gitleaks is not on PATH: left out")
        found = {}
        for name, tool in tools.items():
            note(f"{name} on {len(samples)} files")
            found[name] = tool(place, directory)
    show(samples, found)
    if options.show:
        for sample in samples:
            if (sample.name in found["br3"]) != sample.secret:
                print("missed" if sample.secret else "false alarm", sample.kind, sample.name)


def show(samples: list[Sample], found: dict[str, set[str]]) -> None:
    """Print precision and recall of each tool, then what it found of each family and kind."""
    positives = [sample for sample in samples if sample.secret]
    print(f"{len(positives)} secrets of {len(FAMILIES)} families, {len(samples) - len(positives)} hard negatives\n")
    print(f"{'':16}{'precision':>11}{'recall':>9}{'F1':>7}")
    for tool, names in found.items():
        right = sum(sample.name in names for sample in positives)
        wrong = sum(sample.name in names for sample in samples if not sample.secret)
        if right == 0:
            raise Failed(f"{tool} found nothing at all")
        precision, recall = right / (right + wrong), right / len(positives)
        print(f"{tool:16}{precision:11.3f}{recall:9.3f}{2 * precision * recall / (precision + recall):7.3f}")
    for title, secret in (("found, of the secrets", True), ("told, of the hard negatives", False)):
        totals = Counter(sample.kind for sample in samples if sample.secret is secret)
        print(f"\n{title:28}{'of':>6}" + "".join(f"{tool:>16}" for tool in found))
        for kind, total in totals.items():
            cells = [sum(s.name in names for s in samples if s.kind == kind) for names in found.values()]
            print(f"{kind:28}{total:6}" + "".join(f"{cell:16}" for cell in cells))


if __name__ == "__main__":
    main(bench)
