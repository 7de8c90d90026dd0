"""Uploaded photos: forms with a file and the options of a search."""

from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from adamine_jax.serving import messages

_MAX_FIELDS = 50


class _InMemoryParser(MultiPartParser):
    """Keeps uploads in memory; `Guard` limits their size."""

    spool_max_size = 0  # never spools to a file


async def form_of(request: Request) -> FormData:
    """Returns the form of a request, which the caller closes."""
    try:
        return await _InMemoryParser(request.headers, request.stream(), max_files=1, max_fields=_MAX_FIELDS).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The form cannot be read: {error.message}") from None


async def uploaded_photo(request: Request) -> tuple[bytes, messages.Options]:
    """Returns the photo of a form, and the options of the query string and the form."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "Send the photo as multipart/form-data in a field named photo.")
    form = await form_of(request)
    file = form.get("photo")
    if not isinstance(file, UploadFile):
        raise HTTPException(422, "The field photo is missing or contains no file.")
    try:
        given = [*request.query_params.multi_items(), *((name, value) for name, value in form.multi_items())]
        values: dict[str, Any] = {}
        for name, value in given:
            if name in ("with", "without", "include", "exclude", "tag"):
                values.setdefault(name, []).append(value)
            elif name != "photo":
                values[name] = value
        return await file.read(), messages.Options.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None
    finally:
        await form.close()
