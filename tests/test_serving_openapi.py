# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document, held against what a real server says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from passerby.serving import examples
from passerby.serving.fields import FIELDS, NAMES
from passerby.serving.openapi import INFER, document
from passerby.serving.openapi_schemas import ELSEWHERE, names_of
from passerby.serving.openapi_schemas import NAMES as ERRORS
from passerby.serving.settings import ServerSettings

from .conftest import CORPUS
from .serving_server import Server, running

GOOD = CORPUS / "image/jpeg_baseline.jpg"
GOOD_TEXT = base64.b64encode(GOOD.read_bytes()).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # what is made at random may ask for much at once, and the machine may be busy
    with running("--deadline", "300") as server:
        yield server


@pytest.fixture(scope="module")
def served(server: Server) -> dict[str, Any]:
    """The document as the server gives it."""
    requests = pytest.importorskip("requests")
    said: dict[str, Any] = requests.get(f"{server.url}/openapi.json", timeout=60).json()
    return said


def valid(whole: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    validator = jsonschema.validator_for({**schema, "components": whole["components"]})
    assert [error.message for error in validator.iter_errors(value)] == []


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_the_document_is_made_from_the_settings(server: Server, served: dict[str, Any]) -> None:
    assert served == document(ServerSettings())
    few = document(ServerSettings(max_pictures=3, api_keys=("k" * 12,), rate_limit=5))
    assert few["components"]["schemas"]["Request"]["properties"]["images"]["maxItems"] == 3
    operation = few["paths"][INFER]["post"]
    assert operation["security"] == [{"apiKey": []}]
    assert {"401", "429"} <= set(operation["responses"])
    assert "401" not in few["paths"]["/health"]["get"]["responses"]


def test_every_field_stands_in_bodies_and_query(served: dict[str, Any]) -> None:
    schemas = served["components"]["schemas"]
    assert list(schemas["Request"]["properties"]) == list(NAMES)
    assert set(schemas["Form"]["properties"]) == set(NAMES) - {"images"}
    assert [one["name"] for one in served["paths"][INFER]["post"]["parameters"]] == [field.name for field in FIELDS]


def test_every_error_has_a_status_in_the_document() -> None:
    statuses = {status.http for name, status in ERRORS.items() if name not in ELSEWHERE}
    documented = {int(name.removeprefix("Status")) for name in document(ServerSettings())["components"]["responses"]}
    assert statuses - {404} == documented
    assert "request_invalid" in names_of(422)


def test_schemas_are_schemas(served: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    for schema in served["components"]["schemas"].values():
        jsonschema.meta.validate(schema)


def test_examples_fit_the_schemas(served: dict[str, Any]) -> None:
    valid(served, ref("Answer"), examples.ANSWER)
    valid(served, ref("Pedestrian"), examples.DETAILS)
    valid(served, ref("Results"), examples.SEVERAL)
    valid(served, ref("Error"), examples.ERROR)
    for field in FIELDS:
        valid(served, ref("Request"), {"image": "AAAA", field.name: field.example})
        valid(served, ref("Request"), {"image": "AAAA", field.name: None})


@pytest.mark.parametrize(
    "body",
    [
        {"image": GOOD_TEXT},
        {"image": GOOD_TEXT, "visualize": False},
        {"image": GOOD_TEXT, "details": True, "detThreshold": 0.1, "labels": "both"},
        {"image": GOOD_TEXT, "details": True, "clsThreshold": 0.2, "logId": "a.b-c_d"},
        {"images": [GOOD_TEXT, "AAA", "", "http://127.0.0.1/x"], "details": True},
    ],
)
def test_answers_fit_the_schema(server: Server, served: dict[str, Any], body: dict[str, Any]) -> None:
    requests = pytest.importorskip("requests")
    valid(served, ref("Request"), body)
    answer = requests.post(server.url + INFER, json=body, timeout=60)
    assert answer.status_code == 200
    valid(served, ref("Answer"), answer.json())


@pytest.mark.parametrize(
    ("path", "schema"), [("/health", "Healthy"), ("/live", "Healthy"), ("/ready", "Healthy"), ("/labels", "Labels")]
)
def test_other_answers_fit_the_schema(server: Server, served: dict[str, Any], path: str, schema: str) -> None:
    requests = pytest.importorskip("requests")
    answer = requests.get(server.url + path, timeout=60)
    assert answer.status_code == 200
    valid(served, ref(schema), answer.json())


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (422, {"json": {"image": "AAA"}}),
        (422, {"json": {"image": GOOD_TEXT, "labels": "fr"}}),
        (415, {"data": "image=AAAA"}),
        (415, {"data": "x", "headers": {"Content-Type": "text/plain"}}),
        (403, {"json": {"image": GOOD_TEXT}, "headers": {"Origin": "https://evil.test"}}),
        (421, {"json": {"image": GOOD_TEXT}, "headers": {"Host": "evil.test"}}),
    ],
)
def test_errors_fit_the_schema(server: Server, served: dict[str, Any], status: int, sent: dict[str, Any]) -> None:
    requests = pytest.importorskip("requests")
    answer = requests.post(server.url + INFER, timeout=60, **sent)
    assert answer.status_code == status
    (content,) = served["components"]["responses"][f"Status{status}"]["content"].values()
    valid(served, content["schema"], answer.json())
    assert str(status) in served["paths"][INFER]["post"]["responses"]


def test_the_seeds_client_runs_unchanged(server: Server) -> None:
    requests = pytest.importorskip("requests")
    response = requests.post(server.url + INFER, json={"image": GOOD_TEXT}, timeout=60)
    assert response.status_code == 200
    result = response.json()["result"]
    assert base64.b64decode(result["image"]).startswith(b"\xff\xd8")
    assert set(result["pedestrians"][0]) == {"bbox", "attributes", "score"}
    assert response.text.startswith('{"logId":')
    assert json.loads(response.text)["errorMsg"] == "Success"


@pytest.mark.parametrize(
    ("phases", "count"), [("fuzzing", 10), pytest.param("examples,coverage,fuzzing", 60, marks=pytest.mark.slow)]
)
def test_requests_made_from_the_document(server: Server, phases: str, count: int) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    pytest.importorskip("psutil")
    from benchmarks.serving.schema import answered, schemathesis

    before = answered(server.errors)
    told = schemathesis(server.url, examples=count, phases=phases)
    assert told.code == 0, told.text
    assert told.made > count
    counts = answered(server.errors)
    counts.subtract(before)
    assert sum(counts.values()) >= told.made
    assert counts[INFER, 200] > 0
    assert not [key for key, times in counts.items() if key[1] >= 500 and times]
