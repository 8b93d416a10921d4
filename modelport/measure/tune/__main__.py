"""`modelport tune MODEL`: find the instances, threads and batching that suit a model on this machine.

Candidates run one after another in a Triton of its own, which has this model only, in rounds that alternate. The best
one is compared with the present configuration in turns of their own, and replaces it only if it is better by more than
the noise. Nothing is written into the model repository without --write.
"""

import argparse
import math
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.config import FILENAME, TUNED, read_config, to_text
from exporters.files import locked, replace_file
from exporters.repository import REPOSITORY, models, versions
from modelport.arguments import errors_in_one_line, positive
from modelport.environment import ROOT, CommandError
from modelport.measure.bench import machine
from modelport.measure.tune import knobs, report
from modelport.measure.tune.cores import cores
from modelport.measure.tune.judging import Judge
from modelport.measure.tune.search import Search
from modelport.measure.tune.trials import Trials
from modelport.stack.running import running

QUIET = 0.1  # the share of all cores that others may use


class TuneError(CommandError):
    """The model cannot be tuned; the message says why and what to do."""


@errors_in_one_line(OSError, interrupted="interrupted: nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    model_dir: Path = options.repository / options.model
    config = _config(model_dir)
    usable, wanted = cores(), options.cores
    if wanted and wanted > usable.count:
        raise TuneError(f"--cores {wanted}: this process has {usable}; run it where there are {wanted}")
    count = wanted or usable.count
    judge = Judge(options.profile, options.p99_ms, options.memory_mb)
    folder: Path = options.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{options.model} for {options.profile} on {count} of {usable}, {options.minutes:g} minutes", flush=True)
    mask = sorted(os.sched_getaffinity(0))[:wanted]  # all where --cores is not given
    with Trials(model_dir, config, options.seconds, folder, count, mask) as trials:
        batch = config.max_batch_size if knobs.batches(config) else 0
        search = Search(
            trials.measure, judge, options.minutes, time.monotonic, lambda line: print(f"  {line}", flush=True)
        )
        grid = knobs.coarse(knobs.read(config), count, knobs.threaded(config))
        found = search.run(grid, lambda best: knobs.neighbours(best, count, batch))
    results = report.rows(found, judge)
    facts = {**machine.facts(), "model": options.model, "profile": options.profile, "tuned_cores": count}
    path = report.save(folder, options.model, {**facts, "callers": trials.callers}, found, results)
    print("", report.text(results), "", sep="\n")
    others = statistics.median(turn.others for rounds in found.searched.values() for turn in rounds.values())
    if others > QUIET:
        print(f"others used {others:.0%} of the cores: the ratios stand, the figures do not")
    if found.best == found.present:
        print(f"the present config stays ({found.present}): {found.why}")
    else:
        print(f"best: {found.why}")
        if options.write:
            _write(model_dir, found.best, f"{options.profile}, {count} cores", options.name)
        else:
            print("not written: --write does that")
    print(f"all figures: {path}")
    return 0


def _config(model_dir: Path) -> Any:
    """The ModelConfig message of a model that can be tuned.

    Raises:
        TuneError: it cannot be; the message says what to do.
    """
    if not (model_dir / FILENAME).is_file():
        there = ", ".join(models(model_dir.parent)) or "none"
        raise TuneError(f"there is no model {model_dir.name!r} in {model_dir.parent}: there are {there}")
    config = read_config(model_dir / FILENAME)
    newest = max(versions(model_dir), default=0)
    if not newest or not any((model_dir / str(newest)).iterdir()):
        raise TuneError(f"{model_dir.name} has no artefact: run `modelport export {model_dir.name}` first")
    if any(group.kind == group.KIND_GPU for group in config.instance_group):
        raise TuneError(f"{model_dir.name}/{FILENAME} places instances on GPUs: tune is about processor cores")
    return config


def _write(model_dir: Path, best: knobs.Knobs, what: str, name: str | None) -> None:
    """Write a candidate into the configuration as it is now, which may have changed since the search began."""
    path = model_dir / "configs" / f"{name}.pbtxt" if name else model_dir / FILENAME
    with locked(model_dir):
        config = knobs.applied(read_config(model_dir / FILENAME), best)
        config.parameters[TUNED].string_value = what
        replace_file(path, to_text(config).encode())
    print(f"written: {path}" + (f"; Triton reads it with --model-config-name={name}" if name else ""))
    for stack in running():
        if not name and Path(stack.repository).resolve() == model_dir.parent.resolve():
            print(f"note: the stack on port {stack.port} reads it when it is started again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelport tune", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("model", help="its folder in the model repository")
    add(
        "--profile",
        choices=("latency", "throughput"),
        default="throughput",
        help="latency: the fastest answers to one caller, with at least 80 %% of the present throughput; "
        "throughput: the most inferences/s, with a bound on p99 (default: %(default)s)",
    )
    add("--p99-ms", type=positive, help="throughput: bound of p99 at saturation (default: 1.5 times the present p99)")
    add("--memory-mb", type=positive, default=math.inf, help="bound of the model's memory (default: none)")
    add("--cores", type=int, choices=range(1, 1025), metavar="N", help="(default: what affinity and cgroups allow)")
    add("--minutes", type=positive, default=5.0, help="for the whole search, about (default: %(default)s)")
    add("--seconds", type=positive, default=1.5, help="of each load in a turn, at least (default: %(default)s)")
    add("--write", action="store_true", help="write a better configuration into config.pbtxt")
    add("--name", type=_name, help="with --write: into configs/NAME.pbtxt, for a Triton with --model-config-name=NAME")
    add("--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository")
    add("--out", type=Path, default=ROOT / "build" / "tune", help="folder of the figures (default: build/tune)")
    return parser


def _name(text: str) -> str:
    if not re.fullmatch(r"\w+", text) or text == "gpu":
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits and _; gpu is the configuration for GPUs")
    return text


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
