"""Valid and invalid requests generated from the OpenAPI document: no 5xx, and every response matches its schema."""

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

PATHS = {
    "/health": "get",
    "/ready": "get",
    "/gallery": "get",
    "/item": "get",
    "/photo": "get",
    "/suggestions": "get",
    "/search/photo": "post",
    "/search/recipe": "post",
    "/search/similar": "get",
}


@pytest.fixture(scope="module")
def document(address):
    return schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")


def test_the_document_has_every_path(document):
    assert {path.removeprefix("/api/v1"): method for path in document for method in document[path]} == PATHS


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", PATHS)
def test_every_response_matches_its_schema(document, path, mode):
    operation = document[f"/api/v1{path}"][PATHS[path]]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return  # no part of the request can be invalid

    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def check(case):
        # A schema cannot express that bytes are a photo, that a recipe is not empty, or which classes exist.
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if "/search/" in path else [])

    check()
