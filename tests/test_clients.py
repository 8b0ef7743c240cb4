"""What readers and generated clients rely on in the OpenAPI document; e2e/document generates them and uses them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config import Settings
from main import create_app
from problems import title
from tests.support.service import SECRET

DOCUMENT = create_app(Settings(_env_file=None, better_auth_secret=SECRET)).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()}
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter['name']}")
    for name, operation in OPERATIONS.items()
    for parameter in operation["parameters"]
]
LIMITS: dict[tuple[str, str], dict[str, Any]] = {
    ("listTasks", "limit"): {"minimum": 1, "maximum": 1000},
    ("listTasks", "q"): {"minLength": 1, "maxLength": 200},
    ("listTasks", "cursor"): {"maxLength": 4096},
    ("getTask", "task_id"): {"minimum": 1, "maximum": 2**63 - 1},
    ("deleteTasks", "ids"): {"maxLength": 21000, "pattern": "^[0-9]+(,[0-9]+)*$"},
}


def parts(document: Any) -> Iterator[dict[str, Any]]:
    """Every object within the document."""
    if isinstance(document, dict):
        yield document
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else []:
        yield from parts(part)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_has_an_example_and_is_never_null(parameter: dict[str, Any]) -> None:
    schema = parameter["schema"]
    # A cursor, or a token of changes, can't be made up.
    assert "example" in parameter or "examples" in schema or parameter["name"] in {"cursor", "since"}
    assert schema["type"] in {"string", "integer", "boolean"}
    assert parameter["description"]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_page_sends_no_header_and_every_path(parameter: dict[str, Any]) -> None:
    filled_in = "example" in parameter  # where it stands on the parameter; in the schema, it is only shown
    assert filled_in == (parameter["in"] == "path" or parameter["name"] == "ids")


@pytest.mark.parametrize(("operation", "name"), LIMITS)
def test_a_limit_is_told(operation: str, name: str) -> None:
    named = OPERATIONS.get(operation, {}).get("parameters", [])
    [schema] = [p["schema"] for p in named if p["name"] == name] or [{}]
    told = f"{operation} doesn't tell the limits of {name}; if one of them was renamed, rename it in LIMITS, too."
    assert LIMITS[operation, name].items() <= schema.items(), told
    wrong = [part for part in parts(DOCUMENT["paths"]) if {"ge", "le", "gt", "lt"} & part.keys()]
    assert not wrong, f"Clients know no such bounds: {wrong}"


def test_a_body_s_field_is_required_only_where_it_must_be_sent() -> None:
    assert SCHEMAS["TaskCreate"]["required"] == ["title"]
    assert "required" not in SCHEMAS["TaskUpdate"]
    assert "errors" not in SCHEMAS["ProblemBody"]["required"]
    assert SCHEMAS["ProblemBody"]["properties"]["errors"]["type"] == "array"
    # Some generators call a field with a default required.
    assert not any("default" in field for schema in SCHEMAS.values() for field in schema["properties"].values())


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_field_has_an_example(name: str) -> None:
    for field, schema in SCHEMAS[name]["properties"].items():
        shown = json.dumps(schema)
        has_example = "examples" in shown or "const" in shown or "$ref" in shown
        assert has_example, f"Give {name}.{field} an example: Field(examples=[…])."


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_problem_has_the_example_of_its_own_status(name: str) -> None:
    problems = {status: answer for status, answer in OPERATIONS[name]["responses"].items() if status[0] in "45d"}
    assert problems
    for status, answer in problems.items():
        example = answer["content"]["application/problem+json"]["example"]
        assert example["title"] == title(example["status"])
        assert status in {str(example["status"]), "4XX", "default"}
        assert example.keys() >= set(SCHEMAS["ProblemBody"]["required"])


def test_the_document_says_what_it_is_about() -> None:
    assert DOCUMENT["info"].keys() >= {"title", "version", "description", "contact", "license"}
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    declared = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == declared.keys()


def test_an_operation_says_whether_it_takes_a_token() -> None:
    without = {name for name, operation in OPERATIONS.items() if operation["security"] == []}
    assert without == {"getHealth", "getReadiness"}
    assert all(operation["security"] in ([], [{"bearer": []}]) for operation in OPERATIONS.values())


def test_titles_do_not_depend_on_the_version_of_python() -> None:
    # 3.11 calls them Request Entity Too Large and Unprocessable Entity.
    assert (title(413), title(422), title(404)) == ("Content Too Large", "Unprocessable Content", "Not Found")
