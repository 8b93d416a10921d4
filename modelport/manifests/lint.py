"""All rules over all documents."""

from __future__ import annotations

from collections.abc import Sequence

from modelport.manifests.access_rules import check_access
from modelport.manifests.findings import Document, Finding
from modelport.manifests.gateway_rules import check_documents
from modelport.manifests.pod_rules import check_pod
from modelport.manifests.pods import pods
from modelport.manifests.schema import check_schema
from modelport.manifests.service_rules import check_service
from modelport.manifests.storage_rules import check_storage
from modelport.manifests.traffic_rules import check_traffic


def lint(documents: Sequence[Document]) -> list[Finding]:
    """What is wrong with the documents of one overlay; empty where nothing is."""
    findings = [finding for document in documents for finding in check_schema(document)]
    for pod in pods(documents):
        findings += check_service(pod)
        findings += check_pod(pod)
    for check in (check_documents, check_storage, check_traffic, check_access):
        findings += check(documents)
    return findings
