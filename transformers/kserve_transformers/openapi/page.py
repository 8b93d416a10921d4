"""The OpenAPI document as a page: plain HTML, no script, nothing from another address."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .4rem .7rem; }
details details { border-width: 0 0 0 2px; border-radius: 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
code, pre { font: .85rem/1.4 ui-monospace, monospace; }
pre { overflow: auto; max-height: 24rem; padding: .6rem; border: 1px solid var(--line); white-space: pre-wrap;
      overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 3.2rem; font-weight: 700; }
dt { font-family: ui-monospace, monospace; font-size: .85rem; } dd { margin: 0 0 .3rem 1.5rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render_page(document: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        document: an OpenAPI document; its references are followed.
    """
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: the interface</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1>"
    )
    for paragraph in info["description"].split("\n\n"):
        yield f"<p>{escape(paragraph)}</p>"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
    for tag in (tag["name"] for tag in document["tags"]):
        yield f'<h2 id="{escape(tag)}">{escape(tag)}</h2>'
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag in operation["tags"]:
                    yield from _operation(document, path, method, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_code(schema)}</details>'
    yield "</body></html>"


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f'<details id="{escape(operation["operationId"])}"><summary><code><span class="method">{method.upper()}</span>'
        f"{escape(path)}</code> {escape(operation['summary'])}</summary>"
    )
    if operation.get("parameters"):
        yield "<h3>Parameters</h3><dl>"
        for parameter in (_follow(document, one) for one in operation["parameters"]):
            yield f"<dt>{escape(parameter['name'])}</dt><dd>{escape(parameter['description'])}</dd>"
        yield "</dl>"
    if "requestBody" in operation:
        yield "<h3>Body</h3>"
        yield from _content(operation["requestBody"]["content"])
    yield "<h3>Answers</h3>"
    for status, response in operation["responses"].items():
        followed = _follow(document, response)
        yield f"<details><summary>{status} {escape(followed['description'])}</summary>"
        yield from _content(followed["content"])
        for name, header in followed.get("headers", {}).items():
            yield f"<p><code>{escape(name)}</code> {escape(_follow(document, header)['description'])}</p>"
        yield "</details>"
    yield "</details>"


def _content(content: Mapping[str, Any]) -> Iterator[str]:
    """The media types; those of one schema together."""
    by_schema: dict[str, list[str]] = {}
    for media_type, one in content.items():
        by_schema.setdefault(json.dumps(one), []).append(media_type)
    for text, media_types in by_schema.items():
        one = json.loads(text)
        yield f"<p><code>{escape(', '.join(media_types))}</code></p>"
        if "example" in one:
            yield _code(one["example"])
        yield f"<details><summary>Schema</summary>{_code(one['schema'])}</details>"


def _follow(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; anything else as it is."""
    if "$ref" not in node:
        return node
    found: Mapping[str, Any] = document
    for key in node["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found


def _code(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
