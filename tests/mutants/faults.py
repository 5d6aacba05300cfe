"""
The faults: what mutmut's operators make of every function of a module, and how one gets in.

mutmut itself is not run: it skips every decorated function (each property, each context manager)
and collects the tests anew for each fault. Here a fault is put into the living module, by giving
its functions the code of the faulty source: nothing is imported twice, no wrapper stands between.
"""

from __future__ import annotations

import ast
import difflib
import gc
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import ChildReplacementTransformer
from mutmut.mutation.mutators import mutation_operators

_SOURCE = cst.Module([])
# The first two as mutmut has it: nothing but noise comes of these.
_NEVER_CALLS = frozenset({"len", "isinstance", "cast"})


@dataclass(frozen=True)
class Fault:
    """One small change of one function; *number* counts those of the module."""

    module: Module = field(repr=False)
    number: int
    function: int
    line: int
    before: cst.CSTNode = field(repr=False)
    after: cst.CSTNode = field(repr=False)

    @property
    def where(self) -> str:
        return self.module.functions[self.function].name

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays when lines move."""
        return self.module.name, self.where, *self.diff

    @cached_property
    def diff(self) -> tuple[str, str]:
        """The lines that go and those that come, without their indentation."""
        old, new = self._sources()
        gone, come = [], []
        for line in [*difflib.unified_diff(old.splitlines(), new.splitlines(), n=0)][2:]:
            if line.startswith("-"):
                gone.append(line[1:].strip())
            elif line.startswith("+"):
                come.append(line[1:].strip())
        return "\n".join(gone), "\n".join(come)

    def insert(self) -> None:
        """Let the living function do what the faulty source says."""
        function = self.module.functions[self.function]
        # Where it stood: names are mangled and `super()` is resolved as they were.
        *classes, _ = function.name.split(".")
        source = textwrap.dedent(self._sources()[1])
        for name in reversed(classes):
            source = f"class {name}:\n{textwrap.indent(source, ' ')}"
        self.module.replace(ast.parse(source), {function: 0})

    def _sources(self) -> tuple[str, str]:
        old = self.module.nodes[self.function]
        new = old.visit(ChildReplacementTransformer(self.before, self.after))
        assert isinstance(new, cst.FunctionDef)
        return _SOURCE.code_for_node(old), _SOURCE.code_for_node(new)


@dataclass(frozen=True, eq=False)
class Function:
    """A function of a module or of a class in it; what is nested in it belongs to it."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def first_line(self) -> int:
        """As the code object has it: decorators count."""
        return min([self.node.lineno, *(each.lineno for each in self.node.decorator_list)])

    def statement_at(self, line: int) -> int:
        """The first line of the innermost statement around *line*."""
        around = (
            each.lineno
            for each in _statements(self.node)
            if each.lineno <= line <= (each.end_lineno or each.lineno)
        )
        return max(around, default=self.node.body[0].lineno)


class Module:
    """A module of the library and its faults; *outside* counts those outside of any function."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.source = path.read_text()
        self.functions = list(_functions(ast.parse(self.source)))
        self.nodes: list[cst.FunctionDef] = []
        self.outside = self.texts = 0
        self._living: dict[tuple[str, int], list[FunctionType]] = defaultdict(list)

    @cached_property
    def faults(self) -> list[Fault]:
        """All of them, in order; *nodes*, *outside* and *texts* are filled by the way."""
        operators = _Operators(self)
        MetadataWrapper(cst.parse_module(self.source)).visit(operators)
        return operators.faults

    def statements(self) -> Iterator[tuple[int, int]]:
        """The first lines of the statements in each function, with the function's number."""
        for number, function in enumerate(self.functions):
            for statement in _statements(function.node):
                yield number, statement.lineno

    def watch(self, name: str, numbers: dict[tuple[str, int, int], int]) -> None:
        """Call *name* with its number before every statement."""
        tree = _Watched(name, numbers).of(self)
        self.replace(tree, {function: n for n, function in enumerate(self.functions)})

    def find_living(self) -> None:
        """Find what has been imported; once, for it takes a look at every object there is."""
        path = str(self.path)
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__.co_filename == path:
                code = each.__code__
                self._living[code.co_qualname, code.co_firstlineno].append(each)

    def replace(self, tree: ast.Module, which: dict[Function, int]) -> None:
        """Give functions the code that the one of that number has in *tree*."""
        fresh = list(_functions(tree))
        codes = _by_first_line(
            compile(
                tree,
                str(self.path),
                "exec",
                flags=annotations.compiler_flag,
                dont_inherit=True,
            )
        )
        for function, number in which.items():
            new = fresh[number]
            for living in self._living[function.name, function.first_line]:
                living.__code__ = codes[new.first_line, new.name.rpartition(".")[2]]
                _replace_defaults(living, new.node)


def _functions(node: ast.AST, prefix: str = "") -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(prefix + child.name, child)
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt):
            yield from _functions(child, prefix)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.walk(node):
        if isinstance(child, ast.stmt) and child is not node:
            yield child


def _by_first_line(code: CodeType) -> dict[tuple[int, str], CodeType]:
    found = {}
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found[each.co_firstlineno, each.co_name] = each
            found.update(_by_first_line(each))
    return found


def _replace_defaults(living: FunctionType, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    def value(default: ast.expr, old: Any) -> Any:
        # Only a literal is ever changed; whatever else stands there stays the object it is.
        return default.value if isinstance(default, ast.Constant) else old

    if living.__defaults__:
        pairs = zip(node.args.defaults, living.__defaults__, strict=True)
        living.__defaults__ = tuple(value(default, old) for default, old in pairs)
    if living.__kwdefaults__:
        for name, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if default is not None:
                old = living.__kwdefaults__[name.arg]
                living.__kwdefaults__[name.arg] = value(default, old)


class _Operators(cst.CSTVisitor):
    """mutmut's operators over every function, the decorated ones too."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: Module) -> None:
        super().__init__()
        self._module = module
        self._function = -1
        self._depth = self._raises = 0
        self.faults: list[Fault] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            if self._depth == 0:
                self._function += 1
                self._module.nodes.append(node)
            self._depth += 1
        self._raises += isinstance(node, cst.Raise)
        if _is_skipped(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for mutated in operator(node):
                    self._add(node, mutated)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef):
            self._depth -= 1
        self._raises -= isinstance(original_node, cst.Raise)

    def _add(self, before: cst.CSTNode, after: cst.CSTNode) -> None:
        module = self._module
        if self._depth == 0:
            module.outside += 1
            return
        if self._raises and _is_text(before, after):
            module.texts += 1
            return
        line = self.get_metadata(PositionProvider, before).start.line
        self.faults.append(Fault(module, len(self.faults), self._function, line, before, after))


def _is_skipped(node: cst.CSTNode) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator():
            return True
        case cst.Call(func=cst.Name(value=name)):
            return name in _NEVER_CALLS
        case cst.Param(default=cst.BaseExpression() as default):
            return not isinstance(default, cst.Name | cst.BaseNumber | cst.BaseString)
    return False


def _is_text(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether a fault is one of what an exception says, which is for people to read."""
    if not isinstance(before, cst.Call) or not isinstance(after, cst.Call):
        return isinstance(before, cst.BaseString)
    kept = {id(each.value) for each in after.args}
    changed = [each.value for each in before.args if id(each.value) not in kept]
    return all(isinstance(each, cst.BaseString) for each in changed)


class _Watched(ast.NodeTransformer):
    """Calls *name* with a number before every statement of a function."""

    def __init__(self, name: str, numbers: dict[tuple[str, int, int], int]) -> None:
        self._name, self._numbers = name, numbers

    def of(self, module: Module) -> ast.Module:
        self._module = module.name
        tree = ast.parse(module.source)
        for number, function in enumerate(_functions(tree)):
            self._watch(number, function.node)
        return ast.fix_missing_locations(tree)

    def _watch(self, function: int, node: ast.AST) -> None:
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                statements: list[Any] = []
                for each in value:
                    if isinstance(each, ast.AST):
                        self._watch(function, each)
                    if isinstance(each, ast.stmt):
                        statements.append(self._call(function, each))
                    statements.append(each)
                value[:] = statements
            elif isinstance(value, ast.AST):
                self._watch(function, value)

    def _call(self, function: int, at: ast.stmt) -> ast.stmt:
        number = ast.Constant(self._numbers[self._module, function, at.lineno])
        call = ast.Call(ast.Name(self._name, ast.Load()), [number], [])
        return ast.copy_location(ast.Expr(call), at)
