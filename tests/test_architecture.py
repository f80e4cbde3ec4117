"""The shape of the package, read from its source: which room may import which, and who may call what.

The order of the rooms is that of the design: values flow forward, nobody reaches back. The source is parsed, not
run, so imports inside functions count too; imports for type checkers alone do not.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import passerby

ROOT = Path(passerby.__file__).parent

# Each line is a step; a module may import modules of its own and of earlier lines. Names are prefixes of modules.
ORDER = [
    "_version errors types",
    # records and small sums that everything may use
    "formats.metadata geometry devices thresholds decisions deadline urls http_reply http_request fetch files",
    "images decode preprocess result compat",
    "engines formats networks output_names source_ sources",
    "models",
    "config detector attributes persons",
    "draw pipeline modules",
    "serving cli",
    "__main__",
]
# Beside the inference half; nothing in it imports these, but for the commands that train, when they are called.
BESIDE = ("training", "datasets", "synthesis", "networks.torch")
COMMANDS = {
    "cli.dataset": ("datasets",),
    "cli.module": ("training",),
    "cli.synthesise": ("synthesis", "datasets"),
    "cli.train": ("training", "datasets"),
}
# An arrow against the order, and why it may stand.
EXCEPTIONS = {
    ("result", "draw"): "a result draws itself when it is asked to; loaded then, not before",
}


class Arrow(NamedTuple):
    source: str
    target: str
    line: int


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted names below the package and their files; the package itself is left out."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def arrows(name: str, path: Path) -> Iterator[Arrow]:
    """What a module imports from this package."""
    here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("passerby."):
                    yield Arrow(name, alias.name.removeprefix("passerby."), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = here[: len(here) - node.level + 1]
            elif (node.module or "").split(".")[0] == "passerby":
                base = []
            else:
                continue
            module = (node.module or "").removeprefix("passerby").strip(".")
            whole = [*base, *module.split(".")] if module else base
            for alias in node.names:
                inner = ".".join([*whole, alias.name])
                target = inner if inner in modules() else ".".join(whole)
                if target:
                    yield Arrow(name, target, node.lineno)


@functools.cache
def all_arrows() -> tuple[Arrow, ...]:
    return tuple(a for name, path in modules().items() for a in arrows(name, path))


def is_beside(name: str) -> bool:
    return any(name == b or name.startswith(b + ".") for b in BESIDE)


def step(name: str) -> int:
    """The line of `ORDER` that a module stands in; the longest prefix decides."""
    fits = [
        (len(prefix), number)
        for number, line in enumerate(ORDER)
        for prefix in line.split()
        if name == prefix or name.startswith(prefix + ".") or (prefix.endswith("_") and name.startswith(prefix))
    ]
    if not fits and (name.startswith("config_")):
        return step("config")
    assert fits, f"{name} has no place in the order of the rooms: add it to ORDER"
    return max(fits)[1]


def test_every_module_has_a_place() -> None:
    for name in modules():
        assert is_beside(name) or step(name) >= 0


def test_arrows_point_one_way() -> None:
    wrong = [
        f"{a.source}:{a.line} imports {a.target}"
        for a in all_arrows()
        if not is_beside(a.source)
        and not is_beside(a.target)
        and step(a.target) > step(a.source)
        and (a.source, a.target) not in EXCEPTIONS
    ]
    assert not wrong


def test_nothing_in_the_inference_half_imports_training_or_synthesis() -> None:
    wrong = [
        f"{a.source}:{a.line}"
        for a in all_arrows()
        if is_beside(a.target) and not is_beside(a.source) and not within(a.target, COMMANDS.get(a.source, ()))
    ]
    assert not wrong


def test_commands_that_train_import_training_when_they_are_called() -> None:
    for name in COMMANDS:
        at_top = {node.lineno for node in tree(modules()[name]).body}
        assert not [a for a in arrows(name, modules()[name]) if is_beside(a.target) and a.line in at_top]


def test_datasets_know_nothing_of_training() -> None:
    wrong = [
        f"{a.source}:{a.line}"
        for a in all_arrows()
        if a.source.startswith("datasets") and a.target.startswith("training")
    ]
    assert not wrong


def test_training_and_synthesis_do_not_reach_into_pipeline_and_command_line() -> None:
    above = step("draw")
    wrong = [
        f"{a.source}:{a.line} imports {a.target}"
        for a in all_arrows()
        if is_beside(a.source) and not is_beside(a.target) and step(a.target) > above
    ]
    assert not wrong


def test_no_arrow_goes_round() -> None:
    graph: dict[str, set[str]] = {}
    for a in all_arrows():
        if (a.source, a.target) not in EXCEPTIONS and a.source != a.target:
            graph.setdefault(a.source, set()).add(a.target)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


# What only certain rooms may import, by the first part of the name.
FOREIGN = {
    "onnxruntime": ("engines.onnx_runtime",),
    "cv2": ("decode", "images", "preprocess", "draw", "files", "training", "datasets", "synthesis"),
    "torch": ("networks.torch", "training"),
    "bpy": ("synthesis",),
    "yaml": ("formats.safe_yaml",),
    "pydantic": ("config", "config_schema", "config_training"),
    "typer": ("cli",),
    "tarfile": ("models",),
    # `serving.sockets` listens and connects to nobody
    "socket": ("fetch", "urls", "http_request", "http_reply", "deadline", "serving.sockets"),
    "ssl": ("fetch", "http_request", "serving.sockets"),
}
# Nobody: what acts on data instead of reading it.
NOBODY = {
    *("pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "subprocess", "ctypes", "zipfile"),
    *("requests", "httpx", "aiohttp", "urllib3", "ftplib", "telnetlib", "webbrowser", "xmlrpc"),
}


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == r or name.startswith(r + ".") or (r.endswith("_") and name.startswith(r)) for r in rooms)


def foreign_imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", node.lineno


@pytest.mark.parametrize("name", sorted(modules()))
def test_libraries_stay_in_their_room(name: str) -> None:
    for module, line in foreign_imports(modules()[name]):
        root = module.split(".")[0]
        assert root not in NOBODY, f"{name}:{line} imports {module}"
        if module in ("urllib.request", "http.client", "asyncio"):
            assert within(name, ("fetch", "http_request", "serving")), f"{name}:{line} imports {module}"
        if root in FOREIGN:
            assert within(name, FOREIGN[root]), f"{name}:{line} imports {module}"


def full_names(module: ast.Module) -> dict[str, str]:
    """What local names stand for: `np` for numpy, `load` for yaml.load."""
    names = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Every call as a dotted name, imports resolved; `.name` for a method of something unknown."""
    names = full_names(tree(path))
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        parts: list[str] = []
        target: ast.expr = node.func
        while isinstance(target, ast.Attribute):
            parts.insert(0, target.attr)
            target = target.value
        if isinstance(target, ast.Name):
            full = ".".join([names.get(target.id, target.id), *parts])
            if full == "numpy.load" and not any(k.arg == "allow_pickle" for k in node.keywords):
                continue  # without that word numpy reads arrays and nothing else
            yield full, node.lineno
            continue
        if parts:
            yield "." + ".".join(parts), node.lineno


CALLS = {
    "decode": (
        {"cv2.imdecode", "cv2.imread", "cv2.imdecodemulti", "cv2.imreadmulti", "cv2.VideoCapture", "PIL.Image.open"},
        ("decode", "images", "training", "synthesis"),
    ),
    "unpickle": ({"numpy.load", "numpy.fromfile", "torch.load", "pandas.read_pickle"}, ("training",)),
    "yaml": (
        {"yaml.load", "yaml.safe_load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "yaml.compose"},
        (),
    ),
    "act": (
        {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv"}
        | {"os.fork", "os.startfile", "shutil.unpack_archive", "runpy.run_path", "code.interact"},
        (),
    ),
    # names of our own modules and of the extra's libraries, written in the source
    "load code": ({"importlib.import_module"}, ("training", "datasets")),
}


@pytest.mark.parametrize("name", sorted(modules()))
def test_calls_that_act_stay_in_their_room(name: str) -> None:
    archives = any(module == "tarfile" for module, _ in foreign_imports(modules()[name]))
    unpacking = ("extractall", "extract") if archives else ("extractall",)
    for call, line in calls(modules()[name]):
        last = call.rsplit(".", 1)[-1]
        assert last not in unpacking, f"{name}:{line} calls {call}"
        for what, (forbidden, rooms) in CALLS.items():
            assert call not in forbidden or within(name, rooms), f"{name}:{line} calls {call} ({what})"


WRITERS = ("files", "models", "training", "synthesis")


@pytest.mark.parametrize("name", sorted(modules()))
def test_only_a_few_rooms_write_files(name: str) -> None:
    for call, line in calls(modules()[name]):
        last = call.rsplit(".", 1)[-1]
        writes = last in ("write_bytes", "write_text", "mkstemp", "NamedTemporaryFile", "rename", "rmtree", "unlink")
        assert not writes or within(name, WRITERS), f"{name}:{line} calls {call}"


def test_telemetry_is_off_before_the_engine_is_imported() -> None:
    """Its first import reads the switch; a later one would be too late (reliability.md, P8)."""
    path = modules()["engines.onnx_runtime"]
    switch = [
        node.lineno
        for node in tree(path).body
        if isinstance(node, ast.Assign) and ast.unparse(node) == "os.environ['ORT_DISABLE_TELEMETRY'] = '1'"
    ]
    imports = [line for module, line in foreign_imports(path) if module == "onnxruntime"]
    assert switch
    assert imports
    assert max(switch) < min(imports)


@pytest.mark.parametrize("statement", ["import passerby", "import passerby.cli"])
def test_importing_loads_nothing_that_computes(statement: str) -> None:
    heavy = ("cv2", "onnxruntime", "onnx", "torch", "PIL", "pydantic_settings", "rich", "yaml", "multiprocessing")
    code = f"import sys; {statement}; print(*[m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == []


def test_files_and_functions_stay_small() -> None:
    """Whoever adds a line beyond these finds a better place for it. A function counts without its docstring."""
    for name, path in modules().items():
        assert len(path.read_text("utf-8").splitlines()) <= 400, f"{name} is too long"
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1
                assert lines <= 50, f"{name}.{node.name} has {lines} lines"
