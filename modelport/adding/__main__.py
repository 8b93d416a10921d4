"""`modelport add` and `modelport remove`."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from exporters.adding import record as records
from exporters.adding.formats import FORMATS, recognise
from exporters.adding.plan import Fact
from exporters.adding.record import FILENAME, Record
from exporters.errors import ExportError, UnclearModelError
from exporters.files import content_sha256
from exporters.table import table
from exporters.weights import Provenance
from kserve_transformers.service_spec import ServiceSpec
from modelport.adding import frameworks
from modelport.adding.checkout import Checkout
from modelport.adding.deciding import decide, hints, model_name
from modelport.adding.declaring import joined, removed, write
from modelport.adding.options import parser
from modelport.adding.trial import show, try_out
from modelport.environment import SetupError, say
from modelport.stack.running import running


def main(arguments: Sequence[str], checkout: Checkout | None = None) -> int:
    """Add or remove a model.

    Args:
        arguments: "add" or "remove", and those of the command line.
        checkout: that is changed; None: this one.

    Returns:
        0, or 1 where it failed, 2 where something has to be stated first.
    """
    command, *rest = arguments
    run: Callable[[Sequence[str], Checkout], None] = {"add": add, "remove": remove}[command]
    try:
        run(rest, checkout or Checkout())
    except UnclearModelError as exc:
        say(f"error: {exc}", error=True)
        return 2
    except (ExportError, SetupError, OSError) as exc:
        say(f"error: {exc}", error=True)
        return 1
    except KeyboardInterrupt:
        say("interrupted: nothing was added", error=True)
        return 130
    return 0


def add(arguments: Sequence[str], checkout: Checkout) -> None:
    """Look at a file, decide, build and compare, show the answer for the sample, and declare the service."""
    stated = parser().parse_args(arguments)
    form = recognise(stated.file)
    name = model_name(stated.name, stated.file)
    if (checkout.repository / name).exists():
        raise UnclearModelError(f"the repository has a model {name!r} already: `modelport remove {name}`, or", "--name")
    say(f"{stated.file.name} is {FORMATS[form].title}")
    found = frameworks.describe(stated.file, hints(stated))
    say(table(_rows(found.facts)))
    plan, decided = decide(found, stated, name)
    if decided:
        say(table(_rows(decided)))
    declaration, spec, new = joined(checkout.declaration, name, plan.task, stated.service, stated.fallback)
    if stated.sample is None:
        raise UnclearModelError("without a sample its answers cannot be checked", "--sample")
    with tempfile.TemporaryDirectory(dir=_made(checkout.drawings)) as folder:
        provenance = Provenance(True, stated.file.name, plan.licence, plan.accuracy, content_sha256(stated.file))
        trial = try_out(stated.file, plan, provenance, stated.sample, Path(folder) / name)
        say("\n".join(trial.parity))
        say(f"its answer for {stated.sample.name}:")
        say("\n".join(show(trial, stated.sample, checkout.drawings / f"{name}.png")))
        _require_consent(stated.yes)
        facts = tuple(" | ".join(filter(None, row)) for row in _rows((*found.facts, *decided)))
        place = _place(stated.file, checkout)
        record = Record(place, provenance.sha256, form, trial.plan, spec.name, facts, trial.parity)
        records.write(trial.model_dir, record)
        shutil.move(trial.model_dir, checkout.repository / name)
    try:
        write(checkout, declaration)
    except BaseException:
        shutil.rmtree(checkout.repository / name)
        raise
    say(_next_steps(name, spec, new, checkout))


def remove(arguments: Sequence[str], checkout: Checkout) -> None:
    """Remove a model that was added: its folder, and what services.yaml and the manifests say of it."""
    reader = argparse.ArgumentParser(prog="modelport remove", description=remove.__doc__)
    reader.add_argument("name", metavar="NAME", help="of a model that `modelport add` has added")
    name = reader.parse_args(arguments).name
    model_dir = checkout.repository / name
    record = records.read(model_dir)
    if record is None:
        added = sorted(path.parent.name for path in checkout.repository.glob(f"*/{FILENAME}"))
        raise UnclearModelError(f"{name!r} was not added by `modelport add`; these were: {', '.join(added) or 'none'}")
    write(checkout, removed(checkout.declaration, name, record.service))
    shutil.rmtree(model_dir)
    say(f"removed {name}")
    for stack in running():
        if Path(stack.repository).resolve() == checkout.repository.resolve():
            say(f"note: the stack on port {stack.port} serves it until it is started again")


def _rows(facts: Sequence[Fact]) -> list[tuple[str, str, str, str]]:
    return [
        (
            fact.what,
            fact.value,
            fact.source,
            "" if fact.sure else f"assumed; {fact.flag} states it" if fact.flag else "assumed",
        )
        for fact in facts
    ]


def _require_consent(given: bool) -> None:
    """Raises UnclearModelError: the user has not confirmed that the answer is right."""
    if given:
        return
    if not sys.stdin.isatty():
        raise UnclearModelError("this answer is not confirmed to be right; if it is", "--yes")
    if input(
        "Is this answer right? It becomes the golden sample, by which the model's health is judged. [y/N] "
    ).lower() not in ("y", "yes"):
        raise UnclearModelError(
            "then something above is wrong; see the lines that are assumed, or a sample that is clearer", "--sample"
        )


def _place(file: Path, checkout: Checkout) -> str:
    """Where the original is: from the checkout on, where it is in it."""
    path, root = file.resolve(), checkout.root.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _next_steps(name: str, spec: ServiceSpec, new: bool, checkout: Checkout) -> str:
    stacks = [stack for stack in running() if Path(stack.repository).resolve() == checkout.repository.resolve()]
    lines = [f"added {name}, in the service {spec.name}: `make serve` serves it; `git status` shows all that changed"]
    for stack in stacks:
        if new:
            lines.append(f"the stack on port {stack.port} serves it once it is started again")
        else:
            update = f"make update SERVICE={spec.name} RELEASE=... PORT={stack.port}"
            lines.append(
                f"the stack on port {stack.port} takes it with `make release SERVICE={spec.name}` and `{update}`"
            )
    return "\n".join(lines)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
