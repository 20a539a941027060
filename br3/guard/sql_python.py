"""SQL built from strings in Python (f-strings, ``%``, ``.format()``, ``+``, ``+=``) that reaches ``execute()`` or so.

A name is followed within its function (and the module's top level): a statement may be put together in a variable, and
what is put in may be a constant there, or come from a request.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left

from br3.guard.sql_naming import STATEMENT, severity_of, worst

_SINKS = frozenset(
    "execute executemany executescript execute_async execute_sql executesql exec_driver_sql raw text query mogrify "
    "read_sql read_sql_query fetch fetchrow fetchval fetch_all fetch_one fetch_val prepare scalar scalars sql RawSQL "
    "raw_sql cursor_execute".split()
)
_CALL = re.compile(rb"\b(?:" + "|".join(sorted(_SINKS)).encode() + rb")\s*\(")
_STATEMENT = re.compile(STATEMENT, re.IGNORECASE | re.DOTALL)
_HOLE = "{}"
_MARKS = re.compile(r"[\s,()?]*|[\s,()]*(?:%s[\s,()]*)*|[\s,()]*(?::\w*[\s,()]*)*|[\s,()$]*")
_DEEP = 12


class _Built:
    """A string as far as it is known: text with a hole for each expression, those expressions, the nodes it is from."""

    __slots__ = ("holes", "nodes", "text")

    def __init__(self, text: str, holes: list[ast.expr], nodes: list[ast.expr]) -> None:
        self.text = text
        self.holes = holes
        self.nodes = nodes

    def __add__(self, other: _Built) -> _Built:
        return _Built(self.text + other.text, self.holes + other.holes, self.nodes + other.nodes)


_Scope = dict[str, list[ast.expr]]

# Of a statement: names that are made of one another in many ways would otherwise be followed without end.
_MOST_STEPS = 3000


class _Names:
    """What names were given, those of a function before those of what is around it; and how long to go on looking."""

    __slots__ = ("_hidden", "_left", "_scopes")

    def __init__(self, scopes: tuple[_Scope, ...]) -> None:
        self._scopes = scopes
        self._hidden: frozenset[str] = frozenset()
        self._left = [_MOST_STEPS]

    def get(self, name: str) -> list[ast.expr]:
        """All that a name was given, in order."""
        if name not in self._hidden:
            for scope in self._scopes:
                if name in scope:
                    return scope[name]
        return []

    def without(self, name: str) -> _Names:
        """The same without a name, which may be part of what it was given."""
        names = _Names(self._scopes)
        names._hidden = self._hidden | {name}
        names._left = self._left
        return names

    def is_over(self) -> bool:
        """Whether there was enough looking; counts this step."""
        self._left[0] -= 1
        return self._left[0] < 0


def find(data: bytes, added: set[int] | None) -> list[tuple[int, str, str]]:
    """As ``sql.find``; a file that is no Python of this interpreter's has nothing to tell."""
    import warnings

    called = _lines_of_calls(data)
    if not called:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    looking = _Looking(called, added)
    try:
        looking.visit(tree, ())
    except RecursionError:
        pass  # nested deeper than anyone writes; what was found until then counts
    return sorted((line, level, shown) for (line, shown), level in looking.found.items())


def _lines_of_calls(data: bytes) -> list[int]:
    """The lines where the name of a sink is followed by a parenthesis."""
    lines, line, at = [], 1, 0
    for match in _CALL.finditer(data):
        line += data.count(b"\n", at, match.start())
        at = match.start()
        lines.append(line)
    return lines


class _Looking:
    """A walk through the scopes of a file; what has no call of a sink in it is passed over, but for its assignments."""

    def __init__(self, called: list[int], added: set[int] | None) -> None:
        self.called = called
        self.added = added
        self.found: dict[tuple[int, str], str] = {}

    def visit(self, scope: ast.AST, outer: tuple[_Scope, ...]) -> None:
        """Look through one scope, then those within it."""
        names: _Scope = {}
        inner: list[ast.AST] = []
        calls: list[ast.Call] = []
        self._gather(scope, names, calls, inner)
        scopes = (names, *outer)
        for call in calls:
            for argument in _statements(call):
                told = _judge(argument, call, _Names(scopes), self.added)
                if told is not None:
                    line, level, shown = told
                    self.found[line, shown] = worst([level, self.found.get((line, shown), "low")])
        for function in inner:
            self.visit(function, scopes)

    def _gather(self, scope: ast.AST, names: _Scope, calls: list[ast.Call], inner: list[ast.AST]) -> None:
        """The assignments of a scope in order, its calls, the functions in it."""
        waiting = _children(scope)
        while waiting:
            node = waiting.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                if self._has_call(node):
                    inner.append(node)
                continue
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    _assign(target, node.value, names)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                _assign(node.target, node.value, names)
            elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and isinstance(node.target, ast.Name):
                names.setdefault(node.target.id, []).append(node.value)
            elif isinstance(node, (ast.For, ast.comprehension)):
                _assign_items(node.target, node.iter, names)
            elif isinstance(node, ast.Call):
                calls.append(node)
            if not isinstance(node, ast.stmt) or self._has_call(node):
                waiting += _children(node)
            else:
                waiting += _nested(node)

    def _has_call(self, node: ast.stmt | ast.expr) -> bool:
        at = bisect_left(self.called, node.lineno)
        return at < len(self.called) and self.called[at] <= (node.end_lineno or node.lineno)


def _children(node: ast.AST) -> list[ast.AST]:
    """Last first, so that they come off a stack in order."""
    return list(ast.iter_child_nodes(node))[::-1]


def _nested(node: ast.stmt) -> list[ast.AST]:
    """The statements within a statement, last first."""
    parts = [part for name in ("body", "handlers", "orelse", "finalbody") for part in getattr(node, name, ())]
    return [inner for part in parts for inner in (part.body if isinstance(part, ast.ExceptHandler) else [part])][::-1]


def _assign(target: ast.expr, value: ast.expr, names: _Scope) -> None:
    if isinstance(target, ast.Name):
        names.setdefault(target.id, []).append(value)
    elif isinstance(target, (ast.Tuple, ast.List)):
        values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else None
        for number, part in enumerate(target.elts):
            _assign(part, values[number] if values and len(values) == len(target.elts) else value, names)


def _assign_items(target: ast.expr, value: ast.expr, names: _Scope) -> None:
    """What a loop over a literal gives its variable; over anything else, that thing's name stands for its items."""
    if isinstance(value, (ast.Tuple, ast.List, ast.Set)) and value.elts:
        for item in value.elts:
            _assign(target, item, names)
    else:
        _assign(target, value, names)


def _statements(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that may be statements; none when it is no sink."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in _SINKS:
        return []
    return call.args[:1] + [k.value for k in call.keywords if k.arg in ("sql", "query", "statement", "operation")]


def _judge(argument: ast.expr, call: ast.Call, names: _Names, added: set[int] | None) -> tuple[int, str, str] | None:
    built = _build(argument, names, 0)
    if built is None or not built.holes or not _STATEMENT.match(built.text):
        return None
    levels = [level for hole in built.holes if (level := _level(hole, names, 0)) is not None]
    if not levels:
        return None
    start = built.nodes[0].lineno
    lines = [start, *sorted(_lines([*built.nodes, argument, call.func]))]
    line = next((n for n in lines if added is None or n in added), None)
    return None if line is None else (line, worst(levels), _shown(built))


def _lines(nodes: list[ast.expr]) -> set[int]:
    return {n for node in nodes for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _shown(built: _Built) -> str:
    parts = built.text.split(_HOLE)
    holes = [f"{{{_written(hole)}}}" for hole in built.holes]
    return "".join(part + hole for part, hole in zip(parts, [*holes, *[""] * len(parts)]))  # noqa: B905


def _build(node: ast.expr, names: _Names, depth: int) -> _Built | None:
    """The string that an expression makes; None when it is not made from strings here."""
    if depth > _DEEP or names.is_over():
        return None
    if isinstance(node, ast.Constant):
        return _Built(node.value.replace(_HOLE, "{ }"), [], [node]) if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return _from_fstring(node, names, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _from_sum(node, names, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        left = _build(node.left, names, depth + 1)
        if left is None:
            return None
        values = list(node.right.elts) if isinstance(node.right, ast.Tuple) else [node.right]
        if isinstance(node.right, ast.Dict):
            values = list(node.right.values)
        text = re.sub(r"%(?:\(\w+\))?[-+0 #]*[\d.]*[sdriufgx]", _HOLE, left.text)
        return _Built(text, left.holes + _as_many(values, text.count(_HOLE) - len(left.holes)), [node])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _from_method(node, node.func, names, depth)
    if isinstance(node, ast.Name):
        return _from_name(node, names, depth)
    if isinstance(node, ast.IfExp):
        sides = [_build(side, names, depth + 1) for side in (node.body, node.orelse)]
        return next((side for side in sides if side is not None and side.holes), sides[0])
    return None


def _as_many(values: list[ast.expr], number: int) -> list[ast.expr]:
    return (values * max(number, 1))[: max(number, 0)] if len(values) < number else values[:number]


def _from_fstring(node: ast.JoinedStr, names: _Names, depth: int) -> _Built:
    built = _Built("", [], [node])
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            known = _known(part.value, names, depth)
            built.text += known.text if known else _HOLE
            built.holes += known.holes if known else [part.value]
        elif isinstance(part, ast.Constant):
            built.text += str(part.value).replace(_HOLE, "{ }")
    return built


def _known(node: ast.expr, names: _Names, depth: int) -> _Built | None:
    """What is put in, when it is itself a string built here, so that its own holes count."""
    return _build(node, names, depth + 1) if isinstance(node, (ast.Name, ast.JoinedStr, ast.BinOp)) else None


def _from_sum(node: ast.BinOp, names: _Names, depth: int) -> _Built | None:
    sides = [_build(side, names, depth + 1) for side in (node.left, node.right)]
    if sides[0] is None and sides[1] is None:
        return None
    filled = [
        side or _Built(_HOLE, [part], [part])
        for side, part in zip(sides, (node.left, node.right))  # noqa: B905
    ]
    whole = filled[0] + filled[1]
    return _Built(whole.text, whole.holes, [node, *whole.nodes] if whole.nodes else [node])


def _from_method(node: ast.Call, function: ast.Attribute, names: _Names, depth: int) -> _Built | None:
    if function.attr == "join" and isinstance(function.value, ast.Constant) and isinstance(function.value.value, str):
        return None
    base = _build(function.value, names, depth + 1)
    if base is None:
        return None
    if function.attr == "format":
        values = [*node.args, *(k.value for k in node.keywords)]
        text = re.sub(r"\{ ?\w*[^{}]*\}", _HOLE, base.text)
        return _Built(text, base.holes + _as_many(values, text.count(_HOLE) - len(base.holes)), [node, *base.nodes])
    if function.attr == "replace" and len(node.args) == 2:
        return base + _Built(_HOLE, [node.args[1]], [node])
    if function.attr in ("strip", "rstrip", "lstrip", "lower", "upper", "encode") or (
        function.attr == "dedent" and not base.holes
    ):
        return base
    return None


def _from_name(node: ast.Name, names: _Names, depth: int) -> _Built | None:
    """All that a variable was given, in order: a statement that grows with ``+=`` is their sum."""
    values = names.get(node.id)
    without = names.without(node.id)
    built = [b for value in values if (b := _build(value, without, depth + 1)) is not None]
    if not built or len(built) < len(values):
        return next((b for b in built if b.holes and _STATEMENT.match(b.text)), None)
    whole = built[0]
    for more in built[1:]:
        whole = whole + more
    return whole


def _level(node: ast.expr, names: _Names, depth: int) -> str | None:
    """The severity of putting this in; None when nothing but marks for parameters can come of it."""
    if _is_marks(node, names, depth):
        return None
    if isinstance(node, ast.Constant):
        return None
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("int", "float", "len", "bool"):
        return "low"
    if isinstance(node, ast.Name) and depth < _DEEP and not names.is_over():
        values = names.get(node.id)
        without = names.without(node.id)
        levels = [_level(value, without, depth + 1) or "low" for value in values]
        if levels:
            own = severity_of(node.id)
            return "low" if own == "low" and "high" not in levels else worst(levels)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return worst(["low", *(_level(item, names, depth + 1) or "low" for item in node.elts)])
    if isinstance(node, ast.IfExp):
        return worst([_level(side, names, depth + 1) or "low" for side in (node.body, node.orelse)])
    if isinstance(node, ast.Call) and _is_join(node) and node.args:
        return _level(_item(node.args[0]), names, depth + 1) or "low"
    return severity_of(_written(node))


def _written(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return "…"


def _is_join(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr == "join"


def _item(node: ast.expr) -> ast.expr:
    """What is joined: the item of a comprehension, or the thing itself."""
    return node.elt if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp)) else node


def _is_marks(node: ast.expr, names: _Names, depth: int) -> bool:
    """Whether an expression makes only ``?, ?, ?`` or ``%s, %s``, however many."""
    if depth > _DEEP or names.is_over():
        return False
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and _MARKS.fullmatch(node.value) is not None
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Add)):
        marks = [_is_marks(side, names, depth + 1) for side in (node.left, node.right)]
        return any(marks) if isinstance(node.op, ast.Mult) else all(marks)
    if isinstance(node, ast.Call) and _is_join(node) and node.args:
        return _is_marks(_item(node.args[0]), names, depth + 1)
    if isinstance(node, (ast.List, ast.Tuple)):
        return bool(node.elts) and all(_is_marks(item, names, depth + 1) for item in node.elts)
    if isinstance(node, ast.Subscript):
        return _is_marks(node.value, names, depth + 1)
    if isinstance(node, ast.Name):
        values = names.get(node.id)
        without = names.without(node.id)
        return bool(values) and all(_is_marks(value, without, depth + 1) for value in values)
    return False
