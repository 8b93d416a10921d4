"""The declaration of a service: its name, its task, its chain of models, how its answers are presented."""

import re
from dataclasses import dataclass
from typing import Self

_NAME = r"[a-z][a-z0-9-]*"
_MODEL = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
FORM = "NAME=TASK[/PRESENTATION]:MODEL[,MODEL ...]"
_ARGUMENT = re.compile(
    rf"(?P<name>{_NAME})=(?P<task>{_NAME})(?:/(?P<presentation>{_NAME}))?:(?P<models>{_MODEL}(?:,{_MODEL})*)"
)


@dataclass(frozen=True)
class ServiceSpec:
    """A declared service."""

    name: str  # in routes and metrics; a DNS label
    task: str  # a key of the tasks that the transformer knows
    models: tuple[str, ...]  # the chain, in order of preference
    presentation: str | None = None  # of the task, where the legacy route words the answer in its own way

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read FORM, the form of the option --service.

        Raises:
            ValueError: it is not of this form; the message says what the form is.
        """
        match = _ARGUMENT.fullmatch(argument)
        if match is None:
            raise ValueError(f"{argument!r} is not of the form {FORM}, such as cars=classification/cars:cars")
        return cls(match["name"], match["task"], tuple(match["models"].split(",")), match["presentation"])

    def argument(self) -> str:
        """The value of --service that declares this service."""
        presentation = f"/{self.presentation}" if self.presentation else ""
        return f"{self.name}={self.task}{presentation}:{','.join(self.models)}"
