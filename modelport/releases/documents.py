"""Bills of materials of a release: CycloneDX 1.6 (an ML-BOM) and SPDX 3.0.1 (AI profile), by their makers' libraries.

Both follow from release.json alone: equal releases have equal documents, whose ids come from the release's digest.
"""

import hashlib
import io
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from modelport.releases.errors import GateError
from modelport.releases.release import FileRecord, ModelRecord, Release

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://modelport.invalid/releases")
_FACTS = ("weights", "weights_source", "weights_sha256", "accuracy", "quantisation", "warning")
_LISTED = re.compile(r"[\w.+-]+", re.ASCII)  # the form of a licence's SPDX identifier


def cyclonedx(release: Release) -> bytes:
    """The CycloneDX document of a release.

    Raises:
        GateError: it does not fit CycloneDX's schema.
    """
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from packageurl import PackageURL

    def file(path: str) -> Component:
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=release.files[path].sha256)]
        return Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=hashes)

    def model(name: str, record: ModelRecord) -> Component:
        licence = _licence(record)
        facts = {"platform": record.platform, **{key: record.weights[key] for key in _FACTS if key in record.weights}}
        return Component(
            name=name,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            version=str(record.version),
            bom_ref=f"model:{name}",
            licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
            properties=[Property(name=f"modelport:{key}", value=value) for key, value in facts.items()],
            components=[file(path) for path in release.files if path.startswith(f"{name}/")],
        )

    subject = Component(
        name=release.service, type=ComponentType.APPLICATION, version=release.name, bom_ref=f"release:{release.name}"
    )
    models = {name: model(name, record) for name, record in release.models.items()}
    packages = [
        Component(
            name=name,
            type=ComponentType.LIBRARY,
            version=version,
            bom_ref=f"package:{name}",
            purl=PackageURL("pypi", None, name, version) if name != "tritonserver" else None,
        )
        for name, version in release.packages.items()
    ]
    bom = Bom(
        serial_number=_id(release, "cyclonedx"),
        metadata=BomMetaData(component=subject, timestamp=datetime.fromisoformat(release.created)),
        components=[*models.values(), *packages],
    )
    bom.register_dependency(subject, models.values())
    for component in models.values():
        bom.register_dependency(component, packages)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    for component in document["components"]:  # the library knows no model cards
        if component["type"] == "machine-learning-model":
            component["modelCard"] = _model_card(component["name"], release.models[component["name"]])
    text = json.dumps(document, indent=1) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise GateError(f"the CycloneDX document of the release does not fit its schema: {error}")
    return text.encode()


def _model_card(name: str, record: ModelRecord) -> dict[str, Any]:
    """What CycloneDX calls a model card, with an id of its own."""
    metrics = [{"type": "accuracy", "value": record.weights["accuracy"]}] if "accuracy" in record.weights else []
    return {
        "bom-ref": f"card:{name}",
        "modelParameters": {"outputs": [{"format": output} for output in record.golden]},
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": [text for text in (record.weights.get("warning"),) if text]},
    }


def spdx(release: Release) -> bytes:
    """The SPDX document of a release; the library checks types, values and cardinalities."""
    from spdx_python_model import v3_0_1 as model

    base = f"urn:uuid:{_id(release, 'spdx')}#"
    creation = model.CreationInfo(specVersion="3.0.1", created=datetime.fromisoformat(release.created))
    objects = model.SHACLObjectSet()

    def add(kind: Any, key: str, **values: Any) -> Any:
        made = kind(spdxId=base + key, creationInfo=creation, **values)
        objects.add(made)
        return made

    def relate(source: Any, kind: str, targets: list[Any]) -> None:
        if targets:
            key = f"{source.spdxId.removeprefix(base)}-{kind}"
            add(
                model.Relationship,
                key,
                from_=source,
                to=targets,
                relationshipType=getattr(model.RelationshipType, kind),
            )

    def sha256(value: str) -> list[Any]:
        return [model.Hash(algorithm=model.HashAlgorithm.sha256, hashValue=value)]

    agent = add(model.SoftwareAgent, "modelport", name="modelport")
    creation.createdBy = [agent.spdxId]
    packages = [
        add(model.software_Package, f"package-{name}", name=name, software_packageVersion=version)
        for name, version in release.packages.items()
    ]
    models = []
    for name, record in release.models.items():
        facts = record.weights
        metrics = [model.DictionaryEntry(key="accuracy", value=facts["accuracy"])] if "accuracy" in facts else []
        parameters = {"platform": record.platform, **{k: facts[k] for k in ("weights", "quantisation") if k in facts}}
        package = add(
            model.ai_AIPackage,
            f"model-{name}",
            name=name,
            software_packageVersion=str(record.version),
            software_primaryPurpose=model.software_SoftwarePurpose.model,
            releaseTime=datetime.fromisoformat(release.created),
            suppliedBy=agent,
            ai_metric=metrics,
            ai_hyperparameter=[model.DictionaryEntry(key=key, value=value) for key, value in parameters.items()],
            **({"ai_limitation": facts["warning"]} if facts.get("warning") else {}),
            **({"software_sourceInfo": facts["weights_source"]} if facts.get("weights_source") else {}),
        )
        files = [
            add(model.software_File, f"file-{path.replace('/', '-')}", name=path, verifiedUsing=sha256(own.sha256))
            for path, own in release.files.items()
            if path.startswith(f"{name}/")
        ]
        relate(package, "contains", files)
        relate(package, "usesTool", packages)
        if licence := _licence(record):
            listed = _LISTED.fullmatch(licence)
            kind = model.simplelicensing_LicenseExpression if listed else model.simplelicensing_SimpleLicensingText
            text = {"simplelicensing_licenseExpression" if listed else "simplelicensing_licenseText": licence}
            relate(package, "hasDeclaredLicense", [add(kind, f"licence-{name}", **text)])
        models.append(package)
    bom = add(
        model.software_Sbom,
        "bom",
        name=f"{release.service} {release.name}",
        rootElement=models,
        software_sbomType=[model.software_SbomType.build],
        profileConformance=[model.ProfileIdentifierType.ai, model.ProfileIdentifierType.software],
    )
    add(model.SpdxDocument, "document", name=bom.name, rootElement=[bom])
    stream = io.BytesIO()
    model.JSONLDSerializer().write(objects, stream, indent=1)
    return stream.getvalue() + b"\n"


def _licence(record: ModelRecord) -> str | None:
    licence = record.weights.get("weights_licence")
    return None if licence in (None, "", "none") else licence


def _id(release: Release, kind: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{kind}:{release.digest}")


# By the name of the file, beside release.json.
DOCUMENTS: Mapping[str, Callable[[Release], bytes]] = {"bom.cdx.json": cyclonedx, "bom.spdx3.json": spdx}


def add_documents(release: Release, folder: Path) -> Release:
    """Write the documents of a release into its folder; returns the release with their records.

    Raises:
        GateError: a document does not fit its schema.
    """
    records = {}
    for name, write in DOCUMENTS.items():
        content = write(release)
        (folder / name).write_bytes(content)
        records[name] = FileRecord(hashlib.sha256(content).hexdigest(), len(content))
    return replace(release, documents=records)
