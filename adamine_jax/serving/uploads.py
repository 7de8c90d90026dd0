"""A photo out of a multipart request, in memory alone."""

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

FIELD = "photo"
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "string",
                        "format": "binary",
                        "description": "a file: JPEG, PNG, WebP, GIF (its first picture), BMP or TIFF",
                    }
                },
            }
        }
    },
}
"""The body of the request in OpenAPI."""


class _InMemory(MultiPartParser):
    """Writes nothing to the disk: the guard bounds what comes."""

    spool_max_size = 0  # never rolled over


async def photo_of(request: Request) -> bytes:
    """Reads the photo of a request.

    Raises:
        HTTPException: it is not there.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, f"Send the photo as multipart/form-data, in a field named {FIELD}.")
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The form cannot be read: {error.message}") from None
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise HTTPException(422, f"There is no file in the field {FIELD}.")
    try:
        return await file.read()
    finally:
        await form.close()
