"""Places of galleries."""

import pytest

from tests.databases import at


@pytest.fixture
def place(database, request):
    """The URL of a schema of the test's own."""
    return at(database, f"t{abs(hash(request.node.name)) % 10**12}")
