"""A service's chain of models: which of them may answer at present, in order of preference."""

from collections.abc import Callable, Iterator, Sequence

from kserve_transformers.metrics import FALLBACKS
from kserve_transformers.predictor import Declaration, TritonModel


class Chain:
    """The models that may answer for a service.

    Args:
        service: the service's name, for metrics.
        models: in order of preference.
        misfit: why a model cannot serve the service's task, from what it declares; None where it can.
    """

    def __init__(
        self, service: str, models: Sequence[TritonModel], misfit: Callable[[Declaration], str | None]
    ) -> None:
        self._service = service
        self._misfit = misfit
        self._judged: dict[str, tuple[Declaration, str | None]] = {}
        self.models = tuple(models)

    @property
    def unready_reason(self) -> str | None:
        """Why no model can answer; None where one can."""
        reasons = [(model.name, self.reason_against(model)) for model in self.models]
        return None if any(reason is None for _, reason in reasons) else "; ".join(f"{n}: {r}" for n, r in reasons)

    def reason_against(self, model: TritonModel) -> str | None:
        """Why a model cannot answer for this service; None where it can."""
        declared = model.known_declaration
        if declared is None:
            return model.unready_reason
        judged, misfit = self._judged.get(model.name, (None, None))
        if judged is not declared:
            misfit = self._misfit(declared)
            self._judged[model.name] = declared, misfit
        return f"does not fit {self._service}: {misfit}" if misfit else model.unready_reason

    @property
    def known(self) -> Declaration | None:
        """The declaration of the first model that has one yet."""
        return next((model.known_declaration for model in self.models if model.known_declaration), None)

    @property
    def ready_declarations(self) -> list[Declaration]:
        """The declarations of the models that are ready."""
        known = [model.known_declaration for model in self.models if self.reason_against(model) is None]
        return [declaration for declaration in known if declaration is not None]

    @property
    def first(self) -> Declaration | None:
        """The declaration of the first model that may answer now; None where none may."""
        return next((model.declaration for model, passed_over in self._standing() if passed_over is None), None)

    def has_room(self, requests: int, seconds: float) -> bool:
        """Whether the queue of some model that may answer takes another request beside `requests` that are decoded.

        Only if it can be answered within so many seconds.

        True where no model may answer: the request then learns why.
        """
        rooms = [model.room_within(seconds) for model, passed_over in self._standing() if passed_over is None]
        return not rooms or requests < max(rooms)

    def candidates(self) -> list[TritonModel]:
        """The models that may answer, in order; the others are counted as passed over."""
        candidates = []
        for model, passed_over in self._standing():
            if passed_over is None:
                candidates.append(model)
            else:
                self.count_fallback(model, passed_over)
        return candidates

    def count_fallback(self, model: TritonModel, cause: str) -> None:
        """Count that a model was passed over; `cause` is one of `metrics.FALLBACK_CAUSES`."""
        FALLBACKS.labels(self._service, model.name, cause).inc()

    def _standing(self) -> Iterator[tuple[TritonModel, str | None]]:
        """Each model with why it is passed over; untrained ones are while a trained one is ready."""
        ready = [model for model in self.models if self.reason_against(model) is None]
        trained_ready = any(model.declaration.trained for model in ready)
        for model in self.models:
            if model not in ready:
                yield model, "not ready"
            else:
                yield model, "untrained" if trained_ready and not model.declaration.trained else None
