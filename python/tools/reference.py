"""Writes docs/reference/python.md from the docstrings of src/fraiseql, or says whether it is stale.

    python3 python/tools/reference.py            write
    python3 python/tools/reference.py --check    compare; exit code 1 when it must be written again

It reads sources and stubs only: nothing has to be built or installed. Every public name must have a docstring.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

PYTHON = Path(__file__).resolve().parents[1]
SOURCE = PYTHON / "src"
PAGE = PYTHON.parent / "docs" / "reference" / "python.md"
MODULES = (
    "fraiseql.subscriptions",
    "fraiseql.integrations.fastapi",
    "fraiseql.integrations.starlette",
    "fraiseql.integrations.asgi",
    "fraiseql.integrations.adapter",
)
ALIASES = "fraiseql._fraiseql_rs.subscriptions"
FIRST = {"SubscriptionExecutor": 0, "SubscriptionManager": 1, "Identity": 2, "Event": 3, "SubscriptionError": 4}
MADE_BY_OTHERS = {"Listener", "Server"}  # whose constructors are not called by users
WIDTH = 100  # of a signature on one line
HEAD = """# Python reference

<!-- Generated from the docstrings by python/tools/reference.py; change them, then run `make docs`. -->

The [guides](../guides/python.md) explain, this page lists. Everything is typed.
"""

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
Definition: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef"

# Sections of a docstring: a title above a list, or a word before the text.
SECTIONS = {
    "Args": "**Arguments**",
    "Attributes": "**Attributes**",
    "Raises": "**Raises**",
    "Returns": "Returns: ",
    "Yields": "Yields: ",
}


class Sources:
    """The definitions at the top of every module, and the names that modules export."""

    def __init__(self, folder: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.defined: dict[str, list[Definition]] = {}
        for file in [*sorted(folder.rglob("*.py")), *sorted(folder.rglob("*.pyi"))]:
            parts = file.relative_to(folder).with_suffix("").parts
            tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
            self.trees[".".join(part for part in parts if part != "__init__")] = tree
            for node in tree.body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    self.defined.setdefault(node.name, []).append(node)

    def exported(self, module: str) -> list[str]:
        """What a module lists in __all__."""
        for node in self.trees[module].body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return [str(name) for name in ast.literal_eval(node.value)]
        raise SystemExit(f"{module} has no __all__")

    def find(self, name: str, module: str) -> Definition:
        """The definition behind an exported name; the module's own comes before that of others."""
        nodes = self.defined.get(name, [])
        found = [node for node in nodes if node in self.trees[module].body] or nodes
        if len(found) != 1:
            raise SystemExit(f"{module}.{name}: {len(found)} definitions found, want 1")
        return found[0]

    def bases(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """Classes of ours that a class inherits from, nearest first."""
        for base in node.bases:
            name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
            for parent in self.defined.get(name, []):
                if isinstance(parent, ast.ClassDef):
                    yield parent
                    yield from self.bases(parent)


def members(sources: Sources, node: ast.ClassDef) -> list[Function]:
    """Public methods and properties in the order of the source, inherited ones first."""
    found: dict[str, Function] = {}
    for owner in (*reversed(list(sources.bases(node))), node):
        for child in owner.body:
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or child.name.startswith("_"):
                continue
            # One without a text of its own keeps that of the class it inherits from.
            if child.name not in found or ast.get_docstring(child):
                found[child.name] = child
    return list(found.values())


def order(sources: Sources, module: str) -> list[str]:
    """The names that a module exports: those that everybody begins with, the others by the alphabet, errors at the end."""

    def key(name: str) -> tuple[bool, int, str]:
        return is_error(sources, sources.find(name, module)), FIRST.get(name, len(FIRST)), name

    return sorted(sources.exported(module), key=key)


def is_error(sources: Sources, node: Definition) -> bool:
    """Whether something is an exception."""
    owners = (node, *sources.bases(node)) if isinstance(node, ast.ClassDef) else ()
    return any(ast.unparse(base).endswith(("Error", "Exception")) for owner in owners for base in owner.bases)


def decorators(node: Function) -> set[str]:
    """The last names of a function's decorators."""
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}


def maker(node: ast.ClassDef, owners: tuple[ast.ClassDef, ...]) -> Function | None:
    """What makes an object: the nearest __init__, or that which a data class gets from its fields."""
    for owner in owners:
        for child in owner.body:
            if isinstance(child, ast.FunctionDef) and child.name == "__init__":
                # Without parameters there is nothing to say, or other methods make the objects.
                return child if len(child.args.args) + len(child.args.kwonlyargs) > 1 else None
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return None
    fields = [child for child in node.body if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name)]
    parameters = ", ".join(f"{ast.unparse(field)}" for field in fields)
    made = ast.parse(f"def __init__(self, {parameters}) -> None: ...").body[0]
    assert isinstance(made, ast.FunctionDef)
    return made


def signature(name: str, node: Function, bound: bool) -> str:
    """A call as it is written, on one line or an argument a line."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    parts = [written(argument, default) for argument, default in zip(positional, [*defaults, *arguments.defaults], strict=True)]
    if arguments.posonlyargs:
        parts.insert(len(arguments.posonlyargs), "/")
    if bound:
        parts = parts[2:] if parts[1:2] == ["/"] else parts[1:]
    if arguments.vararg:
        parts.append(f"*{written(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [written(argument, default) for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg:
        parts.append(f"**{written(arguments.kwarg, None)}")
    result = f" -> {annotation(node.returns)}" if node.returns and node.name != "__init__" else ""
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    line = f"{prefix}{name}({', '.join(parts)}){result}"
    if len(line) <= WIDTH:
        return line
    return f"{prefix}{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def attribute(node: Function) -> str:
    """A property as it is declared."""
    return f"{node.name}: {annotation(node.returns) if node.returns else 'object'}"


def annotation(node: ast.expr) -> str:
    """A type; one that is quoted because its module is not imported reads like the others."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.unparse(node)


def written(argument: ast.arg, default: ast.expr | None) -> str:
    """One parameter."""
    text = argument.arg
    if argument.annotation:
        text += f": {annotation(argument.annotation)}"
    if default is not None:
        text += (" = " if argument.annotation else "=") + ast.unparse(default)
    return text


def text(docstring: str) -> str:
    """A docstring as Markdown: its sections of arguments and errors become lists."""
    out: list[str] = []
    section = ""
    for line in docstring.splitlines():
        head = re.fullmatch(r"([A-Z][a-z]+):", line)
        if head and head[1] in SECTIONS:
            section = head[1]
            lists = SECTIONS[section].startswith("**")
            out += [SECTIONS[section], ""] if lists else []
            first = True
        elif not section:
            out.append(line)
        elif not lists:
            out.append((SECTIONS[section] if first else "") + line.strip())
            first = False
        elif item := re.fullmatch(r"    (\**\w+)(?: \(.*?\))?: (.*)", line):
            out.append(f"- `{item[1]}`: {item[2]}")
        else:
            out.append(f"  {line.strip()}".rstrip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def described(node: Definition, place: str) -> str:
    """The text of a definition, which must have one."""
    docstring = ast.get_docstring(node)
    if not docstring:
        raise SystemExit(f"{place} has no docstring")
    return text(docstring)


def fenced(code: str) -> str:
    """Code as a block."""
    return f"```python\n{code}\n```"


def of_class(sources: Sources, node: ast.ClassDef, module: str) -> Iterator[str]:
    """Paragraphs of a class: how it is made, what it is, then its members."""
    yield f"### {node.name}"
    owners = (node, *sources.bases(node))
    init = None if node.name in MADE_BY_OTHERS else maker(node, owners)
    error = is_error(sources, node)
    if init and not error:
        yield fenced(signature(node.name, init, bound=True))
    yield described(node, f"{module}.{node.name}")
    if error:
        yield f"Is a: {', '.join(f'`{ast.unparse(base)}`' for base in node.bases)}."
    elif init and "**Arguments**" in (made := text(ast.get_docstring(init) or "")):
        yield made[made.index("**Arguments**") :]
    bare: list[str] = []
    own = {child.name for child in node.body if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for member in members(sources, node):
        if error and member.name not in own:
            continue
        kinds = decorators(member)
        name = f"{node.name}.{member.name}"
        if "setter" in kinds:
            continue
        if not ast.get_docstring(member) and isinstance(member.body[0], ast.Expr):
            # A stub says no more than the type.
            bare.append(f"- `{attribute(member) if 'property' in kinds else signature(member.name, member, True)}`")
            continue
        yield f"#### {name}"
        if "property" in kinds:
            yield fenced(attribute(member))
        else:
            called = name if kinds & {"classmethod", "staticmethod"} else member.name
            yield fenced(signature(called, member, bound="staticmethod" not in kinds))
        yield described(member, f"{module}.{name}")
    if bare:
        yield "\n".join(bare)


def page(folder: Path = SOURCE) -> str:
    """The whole page."""
    sources = Sources(folder)
    paragraphs = [HEAD.strip()]
    shown: dict[str, str] = {}
    for module in MODULES:
        paragraphs.append(f"## {module}")
        if docstring := ast.get_docstring(sources.trees[module]):
            paragraphs.append(text(docstring))
        for name in order(sources, module):
            if name in shown:
                paragraphs.append(f"`{name}` is that of `{shown[name]}`.")
                continue
            shown[name] = module
            node = sources.find(name, module)
            if isinstance(node, ast.ClassDef):
                paragraphs += of_class(sources, node, module)
            else:
                paragraphs += [f"### {name}", fenced(signature(name, node, bound=False)), described(node, f"{module}.{name}")]
    if ALIASES in sources.trees:
        tree = sources.trees[ALIASES]
        paragraphs += [f"## {ALIASES}", text(ast.get_docstring(tree) or "")]
        names = [name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names if name.asname]
        paragraphs.append("| name | is |\n|---|---|\n" + "\n".join(f"| `{name.asname}` | `{name.name}` |" for name in names))
    return "\n\n".join(paragraphs) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
        return
    found = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if found != wanted:
        sys.stdout.writelines(difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), str(PAGE), "docstrings"))
        raise SystemExit("docs/reference/python.md is stale: run `make docs`")


if __name__ == "__main__":
    main()
