"""Programs of torch.export (.pt2). See exporters.adding.formats.

PyTorch's loader trusts them: it unpickles what the file says is pickled, loads compiled libraries, evaluates the
expressions of sizes as Python and executes guards. All of these are looked for in the archive before it is loaded.
"""

import ast
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from exporters import torchscript
from exporters.adding import torch_networks
from exporters.adding.plan import Description, Hints, Plan
from exporters.adding.torch_calls import Accepted
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError, last_line

# What the nodes of a graph may call: PyTorch's own arithmetic, and Python's on sizes.
_CALLED = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|torch\.sym_\w+|math\.(trunc|ceil|floor)"
)
_OUTWARD = re.compile(r"torch\.ops\.aten\.(from_file|save|_print|warn|item_from_file)\b.*")
_RAW = re.compile(r"/data/(weights|constants)/(weight|tensor)_\d+$")  # the bytes of a tensor
_COMPILED = (".so", ".cubin", ".cpp", ".py", ".pyd", ".dll", ".o")
_EXPRESSION_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Name, ast.Constant, ast.Call, ast.Load,
    ast.keyword,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def describe(path: Path, hints: Hints) -> Description:
    """Look at the program: its input is stated, its answers are looked at."""
    program = _load(path)
    accepts = _input(program, hints)
    return torch_networks.described(_network(program), "pt2", accepts, {}, hints)


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write model.pt, or model.onnx of a detector."""
    torch_networks.build(_network(_load(path)), plan, artefact)


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """PyTorch's answers."""
    return torch_networks.reference(_original(_load(path)), plan, samples)


def _load(path: Path) -> Any:
    import torch

    refuse_dangerous(path)
    try:
        program = torch.export.load(str(path))
    except Exception as exc:  # the loader's errors have no common base
        raise UnknownFormatError(
            f"{path.name} is damaged, or of another version of PyTorch ({last_line(exc)}): export it again with "
            f"PyTorch {torch.__version__.partition('+')[0]}"
        ) from exc
    program._guards_code = []  # Python, which the program's module would execute
    return program


def _original(program: Any) -> Any:
    return program.module(check_guards=False)


def _network(program: Any) -> Any:
    """The program as TorchScript: tracing it would fix the batch to the example's."""
    import torch

    module = _original(program)
    graph = module.graph
    graph.set_codegen(torch.fx.graph.CodeGen())
    for node in graph.nodes:
        if node.op == "placeholder":
            node.type = torch.Tensor
        elif node.target is torch.ops.aten.sym_size.int:
            node.op, node.target = "call_method", "size"
        elif node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket
        elif node.op == "output":
            outputs = node.args[0]
            node.args = (outputs[0] if len(outputs) == 1 else tuple(outputs),)
    try:
        with torchscript.deprecated_but_served(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of annotations in torch.nn's own classes
            return torch.jit.script(torch.fx.GraphModule(module, graph))
    except Exception as exc:  # the compiler's errors have no common base
        raise ArtefactRefusedError(
            f"the program has parts that TorchScript lacks ({last_line(exc)}): export it to ONNX, and add that file"
        ) from exc


def _input(program: Any, hints: Hints) -> Accepted:
    """The program's input. Sizes that may vary are those of a usual image."""
    import torch

    names = program.graph_signature.user_inputs
    placeholders = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    tensors = [placeholders[name] for name in names if isinstance(placeholders.get(name), torch.Tensor)]
    if len(tensors) != 1 or tensors[0].ndim < 2:
        raise UnclearModelError(
            f"the program takes {len(names)} inputs ({', '.join(map(str, names))}): export one that takes images or "
            "windows alone"
        )
    (value,) = tensors
    batch, *sizes = (None if isinstance(side, torch.SymInt) else int(side) for side in value.shape)
    if batch not in (None, 1):
        raise UnclearModelError(
            f"the program is fixed to batches of {batch}: export it with dynamic_shapes=({{0: torch.export.Dim('batch')"
            "},), or with an example of one image"
        )
    free = None in sizes
    usual = hints.size_hw or (224, 224)
    free_sides = iter(usual if len(sizes) == 3 else usual[1:])
    shape = (1, *(side or next(free_sides, 224) for side in sizes))
    return Accepted(str(value.dtype).rpartition(".")[2], shape, free, batch is not None, hints.size_hw is not None)


def refuse_dangerous(path: Path) -> None:
    """Refuse a program that does more than arithmetic when it is loaded or called.

    Raises:
        ArtefactRefusedError: names what it does.
    """
    import torch

    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():  # names may occur twice
            name = info.filename.lower()  # PyTorch's reader ignores case
            if "/aotinductor/" in name or name.endswith(_COMPILED):
                raise ArtefactRefusedError(
                    f"{path.name} holds compiled code ({name}): save the program itself, with torch.export.save"
                )
            content = archive.read(info)
            if content[:1] in (b"P", b"\x80") and not _RAW.search(name):
                try:
                    torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
                except Exception as exc:
                    raise ArtefactRefusedError(
                        f"{path.name} has a pickle in {name} that holds more than tensors: export the program with "
                        "tensors as inputs and constants"
                    ) from exc
            elif name.endswith(".json"):
                _refuse_json(path.name, content)


def _refuse_json(name: str, content: bytes) -> None:
    if b"__enum__" in content:  # pytree would import the module that it names
        raise ArtefactRefusedError(f"{name} names Python classes: export the program with tensors as inputs")
    try:
        entries = list(_entries(json.loads(content)))
    except ValueError as exc:
        raise UnknownFormatError(f"{name} is damaged ({last_line(exc)}): export it again") from exc
    for key, value in entries:
        if key == "use_pickle" and value:
            raise ArtefactRefusedError(f"{name} has a pickle among its weights, which can run any code")
        if key == "target" and (not isinstance(value, str) or not _CALLED.fullmatch(value) or _OUTWARD.match(value)):
            raise ArtefactRefusedError(f"{name} uses {value}: a network needs PyTorch's own arithmetic only")
        if key in ("expr_str", "as_expr") and isinstance(value, str) and not _is_size(value):
            raise ArtefactRefusedError(f"{name} has a size that is more than arithmetic: {value[:80]}")
        if key == "range_constraints" and not all(_is_size(symbol) for symbol in value):
            raise ArtefactRefusedError(f"{name} has a size that is more than arithmetic: {list(value)[:1]}")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key in JSON, at any depth, with its value; `target` only where it is a node's."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from ((key, inner) for key, inner in one.items() if key != "target" or "inputs" in one)
            left += one.values()
        elif isinstance(one, list):
            left += one


def _is_size(text: str) -> bool:
    """Whether a text is arithmetic on symbols, as SymPy writes it: PyTorch evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    named = {id(call.args[0]) for call in calls if call.args and _called(call) == "Symbol"}

    def plain(constant: ast.Constant) -> bool:
        if isinstance(constant.value, str):
            return id(constant) in named and re.fullmatch(r"\w+", constant.value) is not None
        return isinstance(constant.value, int | float)

    return (
        all(isinstance(node, _EXPRESSION_NODES) for node in nodes)
        and all(_called(call)[:1].isupper() for call in calls)
        and all(plain(node) for node in nodes if isinstance(node, ast.Constant))
    )


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
