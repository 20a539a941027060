"""The table of secrets: data only. A Python module, since that is the one form of data that a cold start reads quickly.

Examples are templates, so that no scanner takes this file for a leak: ``<<w40>>`` stands for 40 random letters of the
alphabet ``w``, see ``examples``. Sources of the forms: the vendors' pages on their keys' formats and on secret
scanning, and what RFC 7519 (JWT), RFC 7468 (PEM), RFC 6750 and 7617 (authorization) and 3986 (URLs) say.
"""

from __future__ import annotations


class Rule:
    """What a kind of secret looks like.

    ``keywords``: a match begins ``back`` bytes before one of them. ``needs``: a pattern that is in every text with a
    match as well; looked for first, where there are many keywords.
    ``pattern``: matched from there on (lookbehinds see what precedes); the secret is the last group that took part,
    or all of it. The keywords and the pattern of a ``folded`` rule are lower case and held against the lower-cased
    text; those of others against the text as it is. ``within``: the match may begin inside a word.
    ``entropy``: least Shannon entropy of the secret, bits per byte.
    ``placeholders``: words that no secret of the rule contains, besides those of all rules; ``weak``: whole values.
    ``judge``: ``token`` (known by its prefix: entropy and placeholders only), ``secret`` or ``password`` (a value
    known by its name only: it must not be words, a path, a variable) or ``url`` (a password within a URL).
    ``harmless``: what the group ``name`` must not contain. ``hide``: nothing of the secret is shown.
    ``true`` and ``false``: texts with exactly one finding of this rule, and with none of any rule.
    """

    __slots__ = (
        "back",
        "description",
        "entropy",
        "false",
        "folded",
        "harmless",
        "hide",
        "id",
        "judge",
        "keywords",
        "needs",
        "pattern",
        "placeholders",
        "severity",
        "true",
        "weak",
        "within",
    )

    def __init__(
        self,
        id: str,
        description: str,
        keywords: tuple[str, ...],
        pattern: bytes,
        *,
        true: tuple[str, ...],
        false: tuple[str, ...],
        severity: str = "high",
        entropy: float = 3.0,
        placeholders: tuple[bytes, ...] = (),
        weak: tuple[bytes, ...] = (),
        back: int = 0,
        folded: bool = False,
        within: bool = False,
        hide: bool = False,
        judge: str = "token",
        harmless: bytes | None = None,
        needs: bytes = b"",
    ) -> None:
        self.id = id
        self.description = description
        self.keywords = keywords
        self.pattern = pattern
        self.true = true
        self.false = false
        self.severity = severity
        self.entropy = entropy
        self.placeholders = placeholders
        self.weak = weak
        self.back = back
        self.folded = folded
        self.within = within
        self.hide = hide
        self.judge = judge
        self.harmless = harmless
        self.needs = needs


# What may follow in a name before its value: the rest of the name, a closing quote, a type, the sign of assignment.
_NAME = rb"(?P<name>[a-z0-9_.-]{0,24})"
# Names that end like this hold no secret: ``token_url``, ``password_hash``, ``tokenizer``.
_HARMLESS = (
    rb"^(?:iz|less|ary)|(?:hash|hashed|digest|name|[_-]id|ids|arn|type|file|filename|path|dir|url|uri|endpoint|count|"
    rb"length|size|limit|budget|field|label|prefix|suffix|pattern|regex|policy|ttl|age|version|header|column|"
    rb"placeholder|params?|ref|reference|class|format|kind|status|usage|manager|store|provider|[_-]env|var|variable|"
    rb"expiry|expires|expires_at|expiration|created_at|updated_at|hint|message|error|description|title|text|prompt)$"
)
_SIGN = (
    rb"(?:\\?[\"'`]?\]?[\t ]{0,4}(?::[\t ]{0,2}(?:str|string|bytes|&(?:'static )?str|optional\[str\]|str \| none)"
    rb"[\t ]{0,4}=|:=|=>|={1,3}|!=|:|<-)[\t ]{0,4}|\\?[\"'`],[\t ]{0,4}(?=[\"'\\])"
    rb"|[\"']?[\t ]{1,4}(?:value|default)[\t ]?=[\t ]?|[\"']?\n[\t ]{1,12}[\"']?value[\"']?:[\t ]{1,4}"
    rb"|[\"']?>(?=[^<>\n]*</)"
    rb"|\((?=[\"'`]))"
)


def _value(least: int) -> bytes:
    """A value of at least so many bytes: within quotes, or bare up to white space or the end of an item."""
    size = b"{%d,200}" % least
    return (
        rb"(?:(?:[brfu]{1,2}|@)?\\?(?:\"\"\"|\"(?!\"\"))([^\s\"\\]" + size + rb")\\?\""
        rb"|(?:[brfu]{1,2})?\\?'([^\s'\\]" + size + rb")\\?'"
        rb"|`([^\s`\\]" + size + rb")`"
        rb"|(?<!:)(?P<bare>[^\s\"'`,;(){}\[\]<>\\&]" + size + rb")(?=[\s,;\"'&<\\}]|\Z))"
    )


_WEAK = (
    b"password", b"password1", b"password12", b"password123", b"passw0rd", b"p@ssw0rd", b"p@ssword", b"postgres",
    b"secret", b"secret123", b"admin", b"admin123", b"root", b"rootpass", b"rootpassword", b"guest", b"pass",
    b"pass123", b"pass1234", b"pw", b"pwd", b"user", b"username", b"mysql", b"mongo", b"redis", b"rabbitmq", b"test",
    b"test123", b"test1234", b"testing123", b"letmein", b"letmein123", b"qwerty", b"qwerty123", b"123456", b"12345678",
    b"changeit", b"hunter2", b"foobar", b"foobar123", b"mypassword", b"mypassword1", b"mypassword123",
    b"dbpassword", b"secretpassword",
)  # fmt: skip

_LOCAL = rb"(?!localhost|127\.|0\.0\.0\.0|\[?::1|host\b|hostname\b|[\w.-]*example\.|[\w.-]*\.(?:invalid|test)\b)"

RULES = (
    Rule(
        "anthropic",
        "Anthropic API key",
        ("sk-ant-",),
        rb"sk-ant-[A-Za-z0-9_-]{24,240}",
        entropy=3.5,
        true=("ANTHROPIC_API_KEY=sk-ant-api03-<<w93>>AA", "key: 'sk-ant-admin01-<<w93>>AA'", "sk-ant-oat01-<<w95>>"),
        false=("ANTHROPIC_API_KEY=sk-ant-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "keys begin with sk-ant-api03-..."),
    ),
    Rule(
        "openrouter",
        "OpenRouter API key",
        ("sk-or-",),
        rb"sk-or-(?:v1-)?[A-Za-z0-9]{40,80}(?![A-Za-z0-9])",
        true=("OPENROUTER_API_KEY=sk-or-v1-<<h64>>",),
        false=("OPENROUTER_API_KEY=sk-or-v1-0000000000000000000000000000000000000000000000000000000000000000",),
    ),
    Rule(
        "openai",
        "OpenAI API key",
        ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-", "sess-"),
        rb"(?:sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{32,240}|sess-[A-Za-z0-9]{40}(?![A-Za-z0-9]))",
        entropy=3.5,
        true=(
            'client = OpenAI(api_key="sk-proj-<<w74>>T3BlbkFJ<<w74>>")',
            "OPENAI_API_KEY=sk-svcacct-<<w74>>T3BlbkFJ<<w74>>",
            "sk-admin-<<w58>>T3BlbkFJ<<w58>>",
            "sk-None-<<a20>>T3BlbkFJ<<a20>>",
            "session sess-<<a40>>",
        ),
        false=("OPENAI_API_KEY=sk-proj-your-key-goes-right-here-please", "task-proj-management-of-the-fleet"),
    ),
    Rule(
        "openai-legacy",
        "OpenAI API key of the older form",
        ("T3BlbkFJ",),
        rb"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}(?![A-Za-z0-9])",
        back=23,
        entropy=3.5,
        true=("OPENAI_API_KEY=sk-<<a20>>T3BlbkFJ<<a20>>",),
        false=("every one has T3BlbkFJ in the middle", "sk-folding-cube"),
    ),
    Rule(
        "jwt",
        "JSON Web Token",
        ("eyJ",),
        rb"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,6000}\.[A-Za-z0-9_-]{16,1000}",
        entropy=4.0,
        # The subject 1234567890 of the token that every introduction shows.
        placeholders=(b"eyjzdwiioiixmjm0nty3odkwi",),
        true=("token = 'eyJ<<w34>>.eyJ<<w80>>.<<w43>>'",),
        false=(
            "it begins with eyJ and has two dots",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THs",
        ),
    ),
    Rule(
        "notion",
        "Notion integration token",
        ("secret_", "ntn_"),
        rb"(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,50})(?![A-Za-z0-9_])",
        entropy=3.5,
        true=("NOTION_TOKEN=secret_<<a43>>", 'notion = Client(auth="ntn_<<d11>><<a35>>")'),
        false=("client_secret_of_the_application_configured_here", "ntn_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ),
    Rule(
        "apify",
        "Apify API token",
        ("apify_api_",),
        rb"apify_api_[A-Za-z0-9]{30,46}(?![A-Za-z0-9])",
        entropy=3.5,
        true=("APIFY_TOKEN=apify_api_<<a36>>",),
        false=("apify_api_token_of_the_account",),
    ),
    Rule(
        "aws-access-key",
        "AWS access key id",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
        entropy=2.5,
        true=("aws_access_key_id = AKIA<<216>>", '"AccessKeyId": "ASIA<<216>>"'),
        false=("the AWS documentation key (AKIAIOSFODNN7EXAMPLE)", "TZ=Asia/Tokyo"),
    ),
    Rule(
        "aws-secret-key",
        "AWS secret access key",
        ("secret_access_key", "secretaccesskey", "secret-access-key", "secret access key", "secret_key", "secretkey"),
        rb"secret[_ -]?(?:access[_ -]?)?key[\"'\\\])]{0,3}[\t ]{0,4}(?:[:=,]|=>|:=)[\t ]{0,4}\\?[\"']?([a-z0-9/+]{40})"
        rb"(?![a-z0-9/+=])",
        folded=True,
        within=True,
        entropy=4.0,
        true=("aws_secret_access_key = <<b40>>", '"SecretAccessKey": "<<b40>>"', "AWS_SECRET_ACCESS_KEY=<<b40>>"),
        false=("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY=${SECRET}"),
    ),
    Rule(
        "aws-bedrock",
        "AWS Bedrock API key",
        ("ABSK",),
        rb"ABSK[A-Za-z0-9+/]{100,260}={0,2}",
        entropy=4.0,
        true=("AWS_BEARER_TOKEN_BEDROCK=ABSK<<b128>>",),
        false=("ABSK is how they begin",),
    ),
    Rule(
        "github",
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        rb"gh[pousr]_[A-Za-z0-9_]{36,255}",
        true=(
            "GITHUB_TOKEN=ghp_<<a36>>",
            "https://x-access-token:ghs_<<a36>>@github.com/owner/name.git",
            "oauth gho_<<a36>>",
            "user ghu_<<a36>>",
            "refresh ghr_<<a76>>",
        ),
        false=("ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "export GITHUB_TOKEN=ghp_your_token_here"),
    ),
    Rule(
        "github-fine-grained",
        "GitHub fine-grained token",
        ("github_pat_",),
        rb"github_pat_[A-Za-z0-9_]{36,255}",
        entropy=3.5,
        true=("token: github_pat_<<a22>>_<<a59>>",),
        false=("github_pat_<your token>",),
    ),
    Rule(
        "gitlab",
        "GitLab token",
        (
            "glpat-",
            "gldt-",
            "glrt-",
            "glrtr-",
            "glptt-",
            "glcbt-",
            "glsoat-",
            "glffct-",
            "glimt-",
            "glft-",
            "glagent-",
            "gloas-",
            "glwt-",
            "GR1348941",
        ),
        rb"(?:gl(?:pat|dt|rtr?|ptt|cbt|soat|ffct|imt|ft|agent|oas|wt)-|GR1348941)[A-Za-z0-9_-]{18,300}"
        rb"(?:\.[A-Za-z0-9_-]{2,60}){0,3}",
        true=(
            "GITLAB_TOKEN=glpat-<<w20>>",
            "glpat-<<w27>>.01.<<l9>>",
            "CI_DEPLOY: gldt-<<w20>>",
            "runner glrt-<<w20>>",
            "glptt-<<h40>>",
            "glagent-<<w50>>",
            "GR1348941<<w20>>",
        ),
        false=("glpat-xxxxxxxxxxxxxxxxxxxx", "PRIVATE-TOKEN: glpat-<token>"),
    ),
    Rule(
        "slack",
        "Slack token",
        ("xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
        rb"(?:xox[abcdeoprs][-.](?=[A-Za-z.%-]{0,6}\d)[A-Za-z0-9%-]{16,400}|xapp-\d-[A-Z0-9]{6,40}-\d{1,40}-[a-f0-9]{20,200}"
        rb"|xoxe\.xox[bp]-\d-[A-Za-z0-9]{40,300})",
        true=(
            "SLACK_BOT_TOKEN=xoxb-<<d12>>-<<d13>>-<<a24>>",
            "xoxp-<<d12>>-<<d12>>-<<d12>>-<<h32>>",
            "xapp-1-A<<d10>>-<<d13>>-<<h64>>",
            "xoxe.xoxp-1-<<a160>>",
            "xoxe-1-<<a140>>",
        ),
        false=("SLACK_TOKEN=xoxb-your-token-goes-here", "xoxb-000000000000-000000000000-xxxxxxxxxxxxxxxxxxxxxxxx"),
    ),
    Rule(
        "slack-webhook",
        "Slack webhook",
        ("hooks.slack.com/",),
        rb"hooks\.slack\.com/(?:services|workflows|triggers)/(T?[A-Za-z0-9]{6,40}/[A-Za-z0-9]{6,40}/[A-Za-z0-9]{16,100})",
        within=True,
        true=("curl https://hooks.slack.com/services/T<<A10>>/B<<A10>>/<<a24>>",),
        false=("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",),
    ),
    Rule(
        "stripe",
        "Stripe secret or restricted key",
        ("sk_live_", "rk_live_", "sk_prod_", "rk_prod_"),
        rb"[sr]k_(?:live|prod)_[A-Za-z0-9]{16,247}",
        true=("STRIPE_KEY=sk_live_<<a24>>", "rk_live_<<a99>>"),
        false=("STRIPE_KEY=sk_live_xxxxxxxxxxxxxxxxxxxxxxxx", "stripe.api_key = 'sk_live_...'"),
    ),
    Rule(
        "stripe-test",
        "Stripe key of the test mode",
        ("sk_test_", "rk_test_"),
        rb"[sr]k_test_[A-Za-z0-9]{16,247}",
        severity="medium",
        true=("STRIPE_KEY=sk_test_<<a24>>",),
        false=("STRIPE_KEY=sk_test_yourkeyexample0000000000",),
    ),
    Rule(
        "stripe-webhook",
        "Stripe webhook signing secret",
        ("whsec_",),
        rb"whsec_[A-Za-z0-9+/]{24,100}={0,2}",
        entropy=3.5,
        true=("endpoint_secret = 'whsec_<<a32>>'",),
        false=("whsec_...", "whsec_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ),
    Rule(
        "google-api-key",
        "Google API key",
        ("AIza",),
        rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
        entropy=3.5,
        true=('"current_key": "AIza<<w35>>"',),
        false=("AIzaXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",),
    ),
    Rule(
        "google-oauth",
        "Google OAuth client secret or access token",
        ("GOCSPX-", "ya29."),
        rb"(?:GOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])|ya29\.[A-Za-z0-9_-]{30,400})",
        entropy=3.5,
        true=('"client_secret": "GOCSPX-<<w28>>"', "Authorization: Bearer ya29.<<w120>>"),
        false=("GOCSPX-your-client-secret-goes-here",),
    ),
    Rule(
        "npm",
        "npm access token",
        ("npm_",),
        rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])",
        true=("NPM_TOKEN=npm_<<a36>>", "//registry.example.net/:_authToken=npm_<<a36>>"),
        false=("npm_config_registry_of_the_whole_company", "npm_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ),
    Rule(
        "npm-auth",
        "npm registry credential",
        ("_authtoken", "_auth=", "_auth ="),
        rb"_(?:authtoken|auth)[\t ]{0,2}=[\t ]{0,2}\"?([a-z0-9_./+-]{16,200}={0,2})(?=[\s\"]|\Z)",
        folded=True,
        judge="secret",
        true=("//npm.corp.net/:_authToken=<<h8>>-<<h4>>-<<h4>>-<<h4>>-<<h12>>", "_auth=<<b40>>"),
        false=("//registry.npmjs.org/:_authToken=${NPM_TOKEN}",),
    ),
    Rule(
        "pypi",
        "PyPI API token",
        ("pypi-",),
        rb"pypi-[A-Za-z0-9_-]{50,300}",
        entropy=4.0,
        true=("password = pypi-<<w108>>", "TWINE_PASSWORD=pypi-<<w140>>"),
        false=("pypi-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",),
    ),
    Rule(
        "azure-storage",
        "Azure storage or Cosmos DB account key",
        ("accountkey=", 'accountkey"'),
        rb"accountkey(?:=|\"[\t ]?[:=][\t ]?\")([a-z0-9+/]{80,90}={0,2})",
        folded=True,
        within=True,
        entropy=4.0,
        true=("DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=<<b86>>==;EndpointSuffix=core.windows.net",),
        false=("AccountName=devstoreaccount1;AccountKey=<your key>;",),
    ),
    Rule(
        "azure-shared-access",
        "Azure shared access key or signature",
        ("sharedaccesskey=", "sig="),
        rb"(?:sharedaccesskey=([a-z0-9+/]{43}=)|(?<=[?&;])sig=([a-z0-9%+/]{40,70}(?:%3d|=))(?![a-z0-9]))",
        folded=True,
        within=True,
        entropy=4.0,
        true=(
            "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=<<b43>>=",
            "https://shop.blob.core.windows.net/c?sv=2024-05-04&sp=r&sig=<<a43>>%3D",
        ),
        false=("SharedAccessKey=<key>", "?sv=2024-05-04&sig={signature}"),
    ),
    Rule(
        "azure-client-secret",
        "Azure AD client secret",
        ("Q~",),
        rb"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])",
        back=4,
        entropy=3.5,
        true=("AZURE_CLIENT_SECRET=<<a3>>8Q~<<w34>>",),
        false=("1Q~2Q~3Q~ quarters",),
    ),
    Rule(
        "azure-ai",
        "Azure AI services key",
        ("JQQJ99",),
        rb"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}(?![A-Za-z0-9])",
        back=52,
        entropy=4.0,
        true=("AZURE_OPENAI_API_KEY=<<a52>>JQQJ99<<a26>>",),
        false=("the signature JQQJ99 marks them",),
    ),
    Rule(
        "azure-devops",
        "Azure DevOps personal access token",
        ("AZDO",),
        rb"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9])",
        back=76,
        entropy=4.0,
        true=("AZURE_DEVOPS_EXT_PAT=<<a76>>AZDO<<a4>>",),
        false=("AZDO is how the last but four begin",),
    ),
    Rule(
        "private-key",
        "Private key",
        ("-----BEGIN ",),
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        rb"(?:[^A-Za-z0-9+/]|\\[nr])(?:[^-]|-(?!----)){0,300}?(?:(?<![A-Za-z0-9+/])|(?<=\\[nr]))([A-Za-z0-9+/]{24,8000})",
        within=True,
        hide=True,
        true=(
            "-----BEGIN RSA PRIVATE KEY-----\n<<b64>>\n<<b64>>\n-----END RSA PRIVATE KEY-----",
            '"private_key": "-----BEGIN PRIVATE KEY-----\\n<<b64>>\\n<<b64>>\\n-----END PRIVATE KEY-----\\n"',
            "-----BEGIN OPENSSH PRIVATE KEY-----\n<<b70>>\n<<b70>>",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,<<h8>>\n\n<<b64>>\n",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n<<b64>>\n",
        ),
        false=(
            "write -----BEGIN PRIVATE KEY----- at the top, then the body",
            "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----",
        ),
    ),
    Rule(
        "putty-key",
        "PuTTY private key",
        ("PuTTY-User-Key-File-",),
        rb"PuTTY-User-Key-File-\d: [\s\S]{0,2000}?Private-Lines: \d{1,5}\r?\n([A-Za-z0-9+/=]{24,200})",
        hide=True,
        true=("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n<<b44>>\n",),
        false=("a PuTTY-User-Key-File-2: header alone",),
    ),
    Rule(
        "basic-authorization",
        "Credentials of basic authorization",
        ("authorization",),
        rb"authorization\\?[\"'`]{0,2}\]?[\t ]{0,4}(?:[:=,]|=>)[\t ]{0,4}(?:[brfu]{0,2}\\?[\"'`])?basic[\t ]{1,4}"
        rb"([a-z0-9+/_-]{10,400}={0,2})(?![a-z0-9])",
        folded=True,
        within=True,
        judge="secret",
        entropy=2.8,
        # user:password and username:password, in base64.
        placeholders=(b"dxnlcjpwyxnz", b"dxnlcm5hbwu6cgfzc3dvcmq", b"qwxhzgrpbjpvcgvuihnlc2ftz"),
        true=("Authorization: Basic <<b32>>", "headers['Authorization'] = 'Basic <<b40>>'"),
        false=("Authorization: Basic authentication", "a basic understanding of authorization", "Basic dXNlcjpwYXNz"),
    ),
    Rule(
        "bearer-authorization",
        "Bearer token",
        ("bearer ",),
        rb"bearer[\t ]{1,4}\\?[\"']?([a-z0-9._~+/-]{20,1000}={0,2})(?![a-z0-9$<{])",
        folded=True,
        judge="secret",
        entropy=3.3,
        true=('headers = {"Authorization": "Bearer <<w40>>"}', "curl -H 'authorization: bearer <<a32>>' $URL"),
        false=("Authorization: Bearer ${TOKEN}", "the bearer of-this-letter-of-introduction-is", "Bearer <token>"),
    ),
    Rule(
        "database-url",
        "Password in a database's URL",
        (
            "postgres",
            "mysql",
            "mariadb",
            "mongodb",
            "redis",
            "valkey",
            "amqp",
            "mssql",
            "sqlserver",
            "cockroachdb",
            "clickhouse",
            "oracle",
            "snowflake",
            "cassandra",
            "neo4j",
            "rabbitmq",
        ),
        rb"[a-z0-9]{4,16}(?:\+[a-z0-9_]{2,20})?://(?!([^\s:/@]{1,64}):\1@)[^\s:/@\"'`<>]{0,64}:"
        rb"([^\s/\"'`<>]{4,200})@" + _LOCAL + rb"(?=[a-z0-9\[$({])",
        folded=True,
        # Most are of the web, and no scheme of a database.
        needs=rb"://(?<![^a-z0-9+]https://)(?<![^a-z0-9+]http://)",
        judge="url",
        entropy=2.0,
        weak=_WEAK,
        true=(
            "DATABASE_URL=postgresql://shop:<<a16>>@db.shop.io:5432/orders",
            "mongodb+srv://root:<<a20>>@cluster0.mongodb.net/db",
            "redis://:<<a24>>@cache.shop.io:6379/0",
            "mysql+pymysql://app:<<a9>>@10.0.0.7/shop",
            "amqps://app:<<a12>>@mq.shop.io",
        ),
        false=(
            "postgresql://user:password@localhost",
            "postgresql://app:password@db.shop.io/orders",
            "postgresql://shop:shop@db.shop.io/orders",
            "postgresql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/orders",
            "postgres://{user}:{password}@{host}/{name}",
            "mongodb://<user>:<password>@cluster0.mongodb.net",
            "redis://cache:6379/0",
            "redis://:longer-than-sixteen@cache.shop.io",
        ),
    ),
    Rule(
        "generic-password",
        "Password assigned in clear",
        ("password", "passwd", "passphrase", "pwd", "_pass"),
        rb"(?:password|passwd|passphrase|pwd|_pass(?![a-z]))" + _NAME + _SIGN + _value(8),
        severity="medium",
        folded=True,
        within=True,
        judge="password",
        harmless=_HARMLESS,
        entropy=2.5,
        weak=_WEAK,
        true=(
            'db_password = "<<s14>>"',
            "DB_PASSWORD=<<a16>>",
            '"password": "<<s12>>"',
            "password: <<a14>>",
            "<password><<a14>></password>",
            'connect(user="app", passwd="<<s16>>")',
            "- name: DB_PASSWORD\n  value: <<a18>>",
            'os.environ["PGPASSWORD"] = "<<s12>>"',
            'set_password("<<s12>>")',
        ),
        false=(
            'password = "your-password"',
            "password = os.environ['DB_PASSWORD']",
            "password = get_password(user1)",
            'password_hash = "$2b$12$KIXQ4Zm3Fq7Vt8uWx9yZaOeRtYuIoPaSdFgHjKlZxCvBnM1234567"',
            'password: "${DB_PASSWORD}"',
            "DB_PASSWORD=changeme",
            'password = "password123"',
            'password = getpass("Password for the database: ")',
            "PWD=/home/app2/service",
            'password_field = "input-42-Password"',
        ),
    ),
    Rule(
        "generic-secret",
        "Key, token or secret assigned in clear",
        (
            "secret",
            "token",
            "api_key",
            "api-key",
            "apikey",
            "access_key",
            "access-key",
            "accesskey",
            "auth_key",
            "authkey",
            "private_key",
            "privatekey",
            "cryption_key",
            "cryptionkey",
            "signing_key",
            "signingkey",
            "master_key",
            "service_key",
            "account_key",
            "credential",
        ),
        rb"(?:secret|token|api[_-]?key|access[_-]?key|auth_?key|private_?key|cryption_?key|signing_?key|master_key|"
        rb"service_key|account_key|credential)" + _NAME + _SIGN + _value(16),
        severity="medium",
        folded=True,
        within=True,
        judge="secret",
        harmless=_HARMLESS,
        entropy=2.8,
        placeholders=(b"sample", b"insert", b"replace", b"foobar", b"undefined"),
        true=(
            'API_KEY = "<<a32>>"',
            "SERVICE_API_KEY=<<h40>>",
            '{"client_secret": "<<w36>>"}',
            "auth_token: <<a40>>",
            "const accessToken = '<<a40>>';",
            'x-api-key: "<<l32>>"',
            'private String apiKey = "<<h32>>";',
            'add key="SigningKey" value="<<a44>>"',
            'os.environ.setdefault("APP_SECRET", "<<a32>>")',
            "secret := `<<a32>>`",
        ),
        false=(
            "API_KEY=YOUR_API_KEY_HERE",
            'secret_name = "my-app/prod/database-1"',
            "token = request.headers['X-Token-Value1']",
            "token = self.tokens.refresh_token2",
            'SECRET_KEY = "abcdefghijklmnop1234567890"',
            "api_key: ${{ secrets.API_KEY_2024 }}",
            'token_url = "https://auth.shop.io/oauth2/token?v=2a"',
            'tokenizer = "bert-base-uncased-v2-2024-0b1"',
            "max_tokens = 1000000000000000000",
            'token = "test-token-for-unit-tests-1"',
            'credentials = "path/to/credentials-2.json"',
            'DETECT_SECRETS = "detect-secrets==1.5.0"',
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:MyDatabaseSecret-a1b2c3",
            'secretRef: "projects/42/secrets/key9f8a7b6c/versions/1"',
        ),
    ),
)
