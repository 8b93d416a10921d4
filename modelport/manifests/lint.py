"""All rules over all documents."""

from collections.abc import Sequence

from modelport.manifests import access_rules, gateway_rules, pod_rules, service_rules, storage_rules, traffic_rules
from modelport.manifests.findings import Document, Finding, title
from modelport.manifests.pods import pods
from modelport.manifests.schema import check_schema

_OF_DOCUMENTS = (*gateway_rules.RULES, *storage_rules.RULES, *traffic_rules.RULES, *access_rules.RULES)


def lint(documents: Sequence[Document]) -> list[Finding]:
    """What is wrong with the documents of one overlay; empty where nothing is."""
    findings = [finding for document in documents for finding in check_schema(document)]
    for pod in pods(documents):
        rules = (*service_rules.RULES, *(pod_rules.RULES if pod.runtime else ()))
        findings += [Finding(title(pod.service), *found) for rule in rules for found in rule(pod)]
    for check in _OF_DOCUMENTS:
        findings += check(documents)
    return findings
