"""A deploy beside a judge that moves a canary's share in the cluster (overlay canary-judge).

What the judge has changed differs from the release file until `modelport promote` or `rollback` writes it there, and
the API server refuses to change fields of another manager. So a deploy in the middle is refused with what to do, and
after the judge has ended, a deploy takes its fields over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kserve_transformers.judging.api import MANAGER
from kserve_transformers.judging.shares import Shares, why_none
from modelport.manifests.findings import Document, at, of

JUDGED = "modelport-judges"  # label of the Job: which service


def refusals(documents: Sequence[Document], present: Mapping[str, Document], jobs: Sequence[Document]) -> Iterator[str]:
    """Why documents cannot be deployed now: they would change what a judge at work has done, or it would have no work.

    Args:
        documents: of the overlay.
        present: the InferenceServices in the cluster, by name, those that a judge among the documents names too.
        jobs: those in the namespace.
    """
    for name in to_be_judged(documents):
        if Shares.of(present.get(name, {})) is None:
            yield f"there is nothing to judge: {name} {why_none(present.get(name, {}))}"
    for job in jobs:
        service = at(job, "metadata.labels", {}).get(JUDGED)
        there = Shares.of(present.get(service, {}))
        wanted = [Shares.of(one) for one in of(documents, "InferenceService") if at(one, "metadata.name") == service]
        if at(job, "status.active") and there and wanted and wanted[0] != there:
            yield (
                f"a judge rolls out {there.canary}, which has {there.percent} % of {service} now, and the release file "
                f"says otherwise. Wait until job/{at(job, 'metadata.name')} has ended and write its decision down with "
                f"`modelport promote {service}` or `modelport rollback {service}`, or end it first: "
                "`make undeploy OVERLAY=canary-judge`"
            )


def to_be_judged(documents: Sequence[Document]) -> list[str]:
    """The services that judges among the documents name."""
    labels = [at(job, "metadata.labels", {}) for job in of(documents, "Job")]
    return [str(one[JUDGED]) for one in labels if JUDGED in one]


def judged(service: Document) -> bool:
    """Whether a judge manages fields of an InferenceService, read with its managed fields."""
    return any(one.get("manager") == MANAGER for one in at(service, "metadata.managedFields", []))
