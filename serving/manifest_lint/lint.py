"""All rules over all documents."""

from __future__ import annotations

from collections.abc import Sequence

from manifest_lint.findings import Document, Finding
from manifest_lint.gateway_rules import check_documents
from manifest_lint.pod_rules import check_pod
from manifest_lint.pods import pods
from manifest_lint.schema import check_schema
from manifest_lint.service_rules import check_service


def lint(documents: Sequence[Document]) -> list[Finding]:
    """What is wrong with the documents of one overlay; empty where nothing is."""
    findings = [finding for document in documents for finding in check_schema(document)]
    for pod in pods(documents):
        findings += check_service(pod)
        findings += check_pod(pod)
    return [*findings, *check_documents(documents)]
