"""The reference of a model's requests: a histogram of each feature, in a file beside the model."""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kserve_transformers.drift import statistics
from kserve_transformers.drift.statistics import Counts
from kserve_transformers.judging.answers import recorded_answer

FILE = "drift.json"  # in a model's folder
MIN_INSTANCES = 100
_CELLS = 10
_MIN_SHARE = 0.02  # of a label that has a cell of its own

Value = float | str
Features = Mapping[str, Value]


def features(instance: Mapping[str, Any], prediction: Mapping[str, Any]) -> Features:
    """The features of one instance and its prediction, as a record has them.

    Returns:
        The statistics of the instance, its width and height or length; `label`, the best one, and "none" where there is
        none; `score`, the best one; of a detector, `boxes`.
    """
    found: dict[str, Value] = dict(instance.get("statistics", {}))
    found |= {name: instance[name] for name in ("width", "height", "length") if name in instance}
    try:
        answer = recorded_answer(prediction)
    except ValueError:  # also of a task that nothing else reads
        return found
    found["label"] = answer.labels[0] if answer.labels else "none"
    if answer.labels:
        found["score"] = float(answer.scores[0])
    if answer.boxes is not None:
        found["boxes"] = len(answer.boxes)
    return found


@dataclass(frozen=True)
class Histogram:
    """How often the values of a feature lie in each cell."""

    # of numbers the edges, ascending: between and beyond them are cells, and each edge itself is one, [2K+1]; of labels
    # the K that have a cell; the last cell is of all others, [K+1]
    cells: tuple[float, ...] | tuple[str, ...]
    counts: Counts  # of the reference

    @classmethod
    def of(cls, values: Sequence[Value]) -> Self:
        """The histogram of at least one value; all are numbers, or all are labels."""
        if isinstance(values[0], str):
            common = [one for one, count in Counter(values).most_common(20) if count >= _MIN_SHARE * len(values)]
            empty = cls(tuple(str(one) for one in common), np.zeros(len(common) + 1, np.int64))
        else:
            quantiles = np.quantile(np.array(values, np.float64), np.arange(1, _CELLS) / _CELLS)
            edges = tuple(float(edge) for edge in np.unique(quantiles))
            empty = cls(edges, np.zeros(2 * len(edges) + 1, np.int64))
        cells = [empty.cell(value) for value in values]
        return cls(empty.cells, np.bincount(cells, minlength=len(empty.counts)))

    @property
    def numeric(self) -> bool:
        """Whether the cells have an order."""
        return not self.cells or not isinstance(self.cells[0], str)

    def cell(self, value: Value) -> int:
        """The cell of a value."""
        cells: Any = self.cells
        if self.numeric:
            return bisect_left(cells, value) + bisect_right(cells, value)
        return cells.index(value) if value in cells else len(cells)

    def compare(self, window: Counts) -> tuple[float, float]:
        """The population stability index of a window's counts, and the p-value of having come from the reference."""
        test: Callable[[Counts, Counts], float] = (
            statistics.kolmogorov_smirnov if self.numeric else statistics.chi_square
        )
        return statistics.population_stability(self.counts, window), test(self.counts, window)


@dataclass(frozen=True)
class Reference:
    """What requests to a model looked like, and its answers. Histograms are by feature."""

    histograms: Mapping[str, Histogram]

    @classmethod
    def of(cls, seen: Iterable[Features]) -> Self:
        """Make a reference.

        Raises:
            ValueError: of too few instances.
        """
        values: dict[str, list[Value]] = {}
        count = 0
        for one in seen:
            count += 1
            for name, value in one.items():
                values.setdefault(name, []).append(value)
        if count < MIN_INSTANCES:
            raise ValueError(f"a reference needs at least {MIN_INSTANCES} instances with an answer; there are {count}")
        return cls({name: Histogram.of(of) for name, of in values.items() if len(of) >= MIN_INSTANCES})

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Read what `text` wrote.

        Raises:
            ValueError: it is damaged; a KeyError or TypeError becomes one.
        """
        try:
            named = json.loads(text)["features"].items()
            read = {name: Histogram(tuple(one["cells"]), np.array(one["counts"], np.int64)) for name, one in named}
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"no reference of drift: {exc!r}") from exc
        for name, one in read.items():
            if len(one.counts) != (2 if one.numeric else 1) * len(one.cells) + 1 or not one.counts.sum():
                raise ValueError(f"no reference of drift: the counts of {name} do not fit its cells")
        return cls(read)

    def text(self, **about: Any) -> str:
        """The reference as JSON, with what else is to be known about it."""
        written = {
            name: {"cells": list(one.cells), "counts": one.counts.tolist()} for name, one in self.histograms.items()
        }
        return json.dumps({**about, "features": written}) + "\n"

    def __iter__(self) -> Iterator[tuple[str, Histogram]]:
        """The histograms with their names."""
        return iter(self.histograms.items())
