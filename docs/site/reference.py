"""A hook of MkDocs: the pages of the reference, made of docs/openapi.json and of what facts.py wrote down."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
OPENAPI = ROOT / "docs" / "openapi.json"
FACTS = ROOT / "build" / "docs" / "facts.json"

Document = Mapping[str, Any]
FOLDED = 12
"""Lines of a table from which on it is folded."""

TAG = re.compile(r"<(?!/?code>)")
ANSWERED_BY_ALL = "What every operation may answer"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    if not FACTS.exists():
        raise PluginError(f"{FACTS} is missing: build the site with `make docs`, which writes it first")
    api = json.loads(OPENAPI.read_text(encoding="utf-8"))
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    pages = {
        "reference/commands.md": commands_page(facts["commands"]),
        "reference/stacks.md": stacks_page(facts["stacks"]),
        "reference/api/index.md": api_index(api),
        **{f"reference/api/{slug(tag['name'])}.md": api_page(api, tag) for tag in api["tags"]},
    }
    for path, lines in pages.items():
        files.append(File.generated(config, path, content="\n".join(lines) + "\n"))
    return files


def slug(name: str) -> str:
    """Return a name as part of an address."""
    return name.lower().replace(" ", "-")


def cell(text: object) -> str:
    """Return a text that cannot break out of a table's cell."""
    return TAG.sub("&lt;", " ".join(str(text).split()).replace("|", "\\|"))


def code(text: object) -> str:
    """Return a text as code, in a table too, where no stroke may stand between backticks."""
    words = str(text)
    if not {"|", "<"} & set(words):
        return f"`{words}`"
    return f"<code>{html.escape(words).replace('|', '&#124;')}</code>"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return a table, and nothing for one without rows."""
    body = [f"| {' | '.join(cell(each) for each in row)} |" for row in rows]
    titles = list(head)
    return ["", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *body, ""] if body else []


# ---- the REST API


def operations(api: Document, tag: str) -> Iterator[tuple[str, str, Document]]:
    """Yield method, path and operation of everything under *tag*."""
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            if tag in operation.get("tags", ()):
                yield method.upper(), path, operation


def api_index(api: Document) -> list[str]:
    """Return the first page of the API: how to call it, all operations, and the errors."""
    lines = [
        "# The REST API",
        "",
        f"{api['info']['description']} This is version **{api['info']['version']}**; the document it is"
        " made of is [openapi.json](../../openapi.json), and the API itself answers with it at `GET /api`.",
        "",
        *_how_to_call(),
        "## Operations",
    ]
    rows = [
        (f"`{method}`", f"`{path}`", f"[{operation['summary']}]({slug(tag['name'])}.md#{slug_of(operation)})")
        for tag in api["tags"]
        for method, path, operation in operations(api, tag["name"])
    ]
    return [*lines, *table(("", "Path", ""), rows), f"## {ANSWERED_BY_ALL}", *_errors(api)]


def _how_to_call() -> list[str]:
    return [
        "## Calling it",
        "",
        "```",
        'curl "$API_URL/ping" --header "x-api-key: $TOKEN" --header "username: anna"',
        "```",
        "",
        "`API_URL` is what `atelier outputs middleware` says. A token is made by `atelier tokens create NAME`"
        " and shown once. The header `username` says for whom a deployment's own token acts; who has a token"
        " of their own leaves it out.",
        "",
    ]


def _errors(api: Document) -> list[str]:
    told: dict[str, str] = {}
    for methods in api["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    told.setdefault(status, answer["description"])
    rows = [(f"`{status}`", text) for status, text in sorted(told.items())]
    return [
        "",
        "An error is a JSON object with a `message` that says what is wrong, and a `requestId` that names the"
        " request in the logs.",
        *table(("Status", "When"), rows),
    ]


def slug_of(operation: Document) -> str:
    """Return the anchor of an operation."""
    return str(operation["operationId"]).lower()


def api_page(api: Document, tag: Document) -> list[str]:
    """Return one page: everything about one kind of thing."""
    lines = [f"# {tag['name']}", "", f"{tag['description']}.", ""]
    for method, path, operation in operations(api, tag["name"]):
        lines += [f"## {operation['summary']} {{ #{slug_of(operation)} }}", "", f"`{method} {path}`", ""]
        lines += [operation["description"], ""]
        lines += _parameters(operation)
        lines += _body(api, operation)
        lines += _answers(api, operation)
    return lines


def _parameters(operation: Document) -> list[str]:
    rows = [
        (
            f"`{each['name']}`",
            f"{each['in']}{', required' if each.get('required') else ''}",
            kind(each["schema"]),
            each.get("description", ""),
        )
        for each in operation.get("parameters", ())
        if each["in"] != "header"
    ]
    return table(("Parameter", "Where", "Value", ""), rows)


def _body(api: Document, operation: Document) -> list[str]:
    if "requestBody" not in operation:
        return []
    schema = resolved(api, operation["requestBody"]["content"]["application/json"]["schema"])
    return ["**Body.** " + schema.get("description", ""), *fields(api, schema)]


def _answers(api: Document, operation: Document) -> list[str]:
    lines: list[str] = []
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            continue
        lines += ["", f"**Answers `{status}`.** {answer['description']}."]
        content = answer.get("content", {}).get("application/json")
        if not content:
            continue
        data = resolved(api, content["schema"]).get("properties", {}).get("data")
        if data:
            data = resolved(api, data)
            lines += _data(data.get("description", ""), fields(api, data))
    failures = [f"`{status}`" for status in operation["responses"] if int(status) >= 400]
    if failures:
        anchor = ANSWERED_BY_ALL.lower().replace(" ", "-")
        lines += ["", f"Errors: {', '.join(failures)} ([what they mean](index.md#{anchor}))."]
    return [*lines, ""]


def _data(said: str, rows: list[str]) -> list[str]:
    """Return what an answer holds; many fields are folded, since most readers look for the requests."""
    told = f"`data`: {said}" if said else "`data`"
    if len(rows) <= FOLDED:
        return ["", told, *rows]
    return ["", '??? abstract "The fields of the answer"', "", *(f"    {each}" for each in (told, *rows)), ""]


def fields(api: Document, schema: Document, before: str = "", depth: int = 0) -> list[str]:
    """Return the table of an object's fields, those of objects within it by dotted names."""
    return table(("Field", "Value", ""), _rows(api, schema, before, depth))


def _rows(api: Document, schema: Document, before: str, depth: int) -> Iterator[tuple[str, str, str]]:
    required = set(schema.get("required", ()))
    for name, given in schema.get("properties", {}).items():
        value = resolved(api, given)
        must = " **required**" if name in required and not before else ""
        yield f"`{before}{name}`", kind(value) + must, str(value.get("description", ""))
        inner, mark = value, "."
        if value.get("type") == "array":
            inner, mark = resolved(api, value.get("items", {})), "[]."
        if inner.get("properties") and depth < 3:
            yield from _rows(api, inner, f"{before}{name}{mark}", depth + 1)


def resolved(api: Document, schema: Document) -> Document:
    """Follow a reference to the schema that it names."""
    while "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def kind(schema: Document) -> str:
    """Say in words what values a schema takes."""
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}{_bounds(schema, 'minItems', 'maxItems')}"
    words = schema.get("format") or schema.get("type") or "anything"
    length = _bounds(schema, "minLength", "maxLength", " characters")
    return words + length + _bounds(schema, "minimum", "maximum")


def _bounds(schema: Document, low: str, high: str, unit: str = "") -> str:
    if low in schema and high in schema:
        return f", {schema[low]} to {schema[high]}{unit}"
    if high in schema:
        return f", at most {schema[high]}{unit}"
    return f", at least {schema[low]}{unit}" if low in schema else ""


# ---- commands and stacks


def commands_page(commands: Iterable[Document]) -> list[str]:
    """Return the page of all commands, from their own help."""
    lines = [
        "# Commands",
        "",
        "What `atelier COMMAND --help` says, on one page. Most commands take `--json`; only `--aws` touches"
        " a real account. They exit with 0 when it is done, 1 when it failed or the answer was no, 2 when the"
        " command was used wrongly, 3 when there is nothing to talk to or a person's decision is awaited, and"
        " 130 when interrupted.",
        "",
    ]
    for each in commands:
        level = "##" if each["command"].count(" ") == 1 else "###"
        lines += [f"{level} {each['command']}", "", *_help(each["help"])]
        if not each["is_group"]:
            lines += ["```", each["usage"], "```", ""]
        lines += table(("Option", ""), ((code(name), text) for name, text in each["options"]))
        if each["examples"]:
            lines += ["For example:", "", "```", *each["examples"], "```", ""]
    return lines


def _help(text: str) -> list[str]:
    paragraphs = (" ".join(each.split()) for each in text.replace("\b", "").split("\n\n"))
    return [line for each in paragraphs for line in (each.replace("<", "&lt;"), "")]


def stacks_page(stacks: Iterable[Document]) -> list[str]:
    """Return the page of all stacks, from the templates themselves."""
    lines = [
        "# Stacks and parameters",
        "",
        "Each stack is one module that renders CloudFormation; `atelier synth` writes them all to"
        " `build/templates`. What one stack outputs is the parameter of the same name of those after it; what"
        " has a default is yours to set: `atelier deploy PART --parameter NAME=VALUE`.",
        "",
    ]
    for each in stacks:
        lines += [f"## {each['name']}", "", each["description"], ""]
        parts = ", ".join(f"`atelier deploy {part}`" for part in each["parts"])
        lines += [f"Deployed by {parts}." if parts else "Deployed by the training pipeline.", ""]
        chosen = {name: value for name, value in each["parameters"].items() if "Default" in value}
        rows = (
            (
                f"`{name}`",
                code(value["Default"]) if value["Default"] != "" else "",
                value.get("Description", ""),
            )
            for name, value in chosen.items()
        )
        lines += table(("Parameter", "Default", ""), rows)
        if each["outputs"]:
            lines += ["Outputs: " + ", ".join(f"`{name}`" for name in each["outputs"]) + ".", ""]
    return lines
