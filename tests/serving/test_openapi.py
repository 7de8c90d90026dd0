"""Requests made from the OpenAPI document, right and wrong ones: no 5xx, and every answer fits its schema."""

import hypothesis
import pytest
import schemathesis


@pytest.fixture(scope="module")
def document(address):
    return schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@hypothesis.settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck), database=None
)
def test_every_answer_fits_its_schema(case):
    case.call_and_validate()
