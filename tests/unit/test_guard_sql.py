"""SQL built from strings: what is told, how severe it is, and what is left alone."""

from __future__ import annotations

import textwrap
from random import Random

import pytest

from br3.guard.contents import built_sql
from br3.guard.sql import KEYWORDS
from br3.secrets.examples import fill


def severities(code: str, path: str = "a.py", added: set[int] | None = None) -> list[str]:
    return [finding.severity for finding in built_sql(path, textwrap.dedent(code).encode(), added)]


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("cur.execute(f\"SELECT * FROM users WHERE id = {request.args['id']}\")", "high"),
        ('cur.execute(f"SELECT * FROM users WHERE id = {user_id}")', "high"),
        ("cur.execute(\"SELECT * FROM users WHERE name = '%s'\" % params['name'])", "high"),
        ('cur.execute("SELECT * FROM users WHERE id = {}".format(form.id.data))', "high"),
        ('cur.execute("SELECT * FROM users WHERE id = " + input())', "high"),
        ('cur.execute("SELECT * FROM t WHERE id = %s" % key)', "medium"),
        ('cur.execute("SELECT * FROM t WHERE id = %(key)d" % {"key": key})', "medium"),
        ('cur.execute("SELECT * FROM t WHERE id = {0}".format(key))', "medium"),
        ('cur.execute("DELETE FROM t WHERE id = " + key)', "medium"),
        ('cur.execute("DELETE FROM t WHERE id = ID".replace("ID", key))', "medium"),
        ('cur.executemany(f"INSERT INTO t VALUES ({key}, ?)", rows)', "medium"),
        ('cur.executescript(f"UPDATE t SET a = {key}")', "medium"),
        ('connection.execute(text(f"UPDATE t SET a = {key}"))', "medium"),
        ('Thing.objects.raw(f"SELECT * FROM t WHERE a = {key}")', "medium"),
        ('pd.read_sql(sql=f"SELECT * FROM t WHERE a = {key}", con=con)', "medium"),
        ('await pool.fetchrow(f"SELECT * FROM t WHERE a = {key}")', "medium"),
        ('cur.execute(f"SELECT * FROM {table}")', "low"),
        ('cur.execute(f"SELECT * FROM {TABLE}")', "low"),
        ('cur.execute(f"SELECT {self.column_name} FROM t")', "low"),
        ('cur.execute("SELECT * FROM t WHERE id = %d" % int(key))', "low"),
        ('cur.execute(f"SELECT * FROM {table} WHERE id = {user.id}")', "high"),
    ],
)
def test_sql_built_from_strings_is_told(code: str, severity: str) -> None:
    assert severities(code) == [severity]


@pytest.mark.parametrize(
    "code",
    [
        'cur.execute("SELECT * FROM t WHERE id = %s", (key,))',
        'cur.execute("SELECT * FROM t WHERE id = :id", {"id": key})',
        'cur.execute("SELECT * FROM t " "WHERE id = ?", [key])',
        "cur.execute(f\"SELECT * FROM t WHERE id IN ({','.join('?' * len(keys))})\", keys)",
        'marks = ", ".join(["%s"] * len(keys))\ncur.execute(f"SELECT * FROM t WHERE id IN ({marks})", keys)',
        'marks = ", ".join("?" for _ in keys)\ncur.execute("SELECT a FROM t WHERE id IN (" + marks + ")", keys)',
        'cur.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))',
        'table = "users"\ncur.execute(f"SELECT * FROM {table}")',
        'print(f"SELECT * FROM t WHERE id = {key}")',
        'raise ValueError(f"select something from {key}")',
        'executor.execute(f"{key} from the list")',
        'for name in ("users", "orders"):\n    cur.execute(f"DELETE FROM {name}")',
        'cur.execute(statement("name"))',
        "cur.execute(f'SELECT {1} FROM t')",
        "def broken(:\n    cur.execute(f'SELECT * FROM t WHERE id = {key}')",
    ],
)
def test_parameters_and_what_is_no_statement_are_left_alone(code: str) -> None:
    assert severities(code) == []


def test_a_statement_is_followed_through_variables() -> None:
    code = """
        def one(cur, key):
            query = "SELECT * FROM t"
            if key:
                query += f" WHERE id = {key}"
            cur.execute(query)
    """
    assert severities(code) == ["medium"]


def test_a_value_from_a_request_is_known_by_what_it_was_given() -> None:
    code = """
        def one(cur, request):
            value = request.form["value"]
            cur.execute(f"DELETE FROM t WHERE v = '{value}'")
    """
    assert severities(code) == ["high"]


def test_a_variable_of_another_function_is_another_one() -> None:
    code = """
        def one(request):
            value = request.form["value"]

        def two(cur, value):
            cur.execute(f"DELETE FROM t WHERE v = '{value}'")
    """
    assert severities(code) == ["medium"]


STATEMENT = """\
def one(cur, key):
    cur.execute(
        f'''
        SELECT *
        FROM t
        WHERE id = {key}
        '''
    )
    cur.execute(f"SELECT * FROM t WHERE a = {key}")
"""


@pytest.mark.parametrize(
    ("added", "lines"),
    [(None, [3, 9]), ({6}, [6]), ({2}, [2]), ({9}, [9]), ({1}, []), (set(), []), ({3, 6, 9}, [3, 9])],
)
def test_only_statements_with_an_added_line_are_told_on_one_of_them(added: set[int] | None, lines: list[int]) -> None:
    assert [f.line for f in built_sql("a.py", STATEMENT.encode(), added)] == lines


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("db.query(`SELECT * FROM users WHERE id = ${req.params.id}`)", "high"),
        ("db.query(`SELECT * FROM users WHERE name = '${userName}'`)", "high"),
        ("await client.query(`UPDATE t SET a = ${value}`, [])", "medium"),
        ("const q = `SELECT * FROM t WHERE a = ${value}`;\nawait client.query(q);", "medium"),
        ("const q: string = `SELECT * FROM t WHERE a = ${value}`;\npool.query({ text: q });", "medium"),
        ("await prisma.$queryRawUnsafe(`SELECT * FROM t WHERE a = ${value}`)", "medium"),
        ("knex.raw(`SELECT * FROM ${tableName}`)", "low"),
        ('db.query("SELECT * FROM t WHERE name = \'" + value + "\'")', "medium"),
        ("db.run('DELETE FROM t WHERE id = ' + req.body.id)", "high"),
    ],
)
@pytest.mark.parametrize("ending", ["js", "ts", "tsx", "mjs"])
def test_scripts_are_looked_through_by_pattern(code: str, severity: str, ending: str) -> None:
    assert severities(code, f"a.{ending}") == [severity]


@pytest.mark.parametrize(
    "code",
    [
        "await sql`SELECT * FROM t WHERE a = ${value}`",
        "await prisma.$queryRaw`SELECT * FROM t WHERE a = ${value}`",
        "db.query('SELECT * FROM t WHERE a = $1', [value])",
        "console.log(`SELECT * FROM t WHERE a = ${value}`)",
        "db.query(`Select one of ${value}`)",
        "// db.query(`SELECT * FROM t WHERE a = ${value}`)",
        "const q = `SELECT * FROM t WHERE a = ${value}`;\nconsole.log(q);",
    ],
)
def test_scripts_with_parameters_are_left_alone(code: str) -> None:
    assert severities(code, "a.ts") == []


def test_a_template_of_several_lines_is_told_on_an_added_one() -> None:
    code = "x\ndb.query(`\n  SELECT *\n  FROM t\n  WHERE a = ${value}\n`)\n"
    assert [f.line for f in built_sql("a.js", code.encode(), {5})] == [5]
    assert built_sql("a.js", code.encode(), {1}) == []


def test_other_files_are_not_looked_at() -> None:
    assert severities('cur.execute(f"SELECT * FROM t WHERE a = {key}")', "a.md") == []


def test_a_secret_within_a_statement_is_not_shown() -> None:
    token = fill("ghp_<<a36>>", Random(1))
    (finding,) = built_sql("a.py", f"cur.execute(f\"SELECT '{token}' FROM t WHERE a = {{key}}\")".encode(), None)
    assert token not in finding.masked and "ghp_…" in finding.masked


@pytest.mark.parametrize(
    "line",
    [
        'cur.execute(f"SELECT * FROM t WHERE a = {key}")',
        'query += f" WHERE a = {key}"',
        'Thing.objects.raw(f"INSERT INTO t VALUES ({key})")',
    ],
)
def test_lines_that_build_sql_pass_the_prefilter(line: str) -> None:
    assert any(word in line.lower() for word in KEYWORDS)
