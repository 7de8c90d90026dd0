"""Reads the photo of a multipart request without writing it to the disk."""

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
                        "description": "JPEG, PNG, WebP, GIF (first frame), BMP or TIFF file",
                    }
                },
            }
        }
    },
}
"""OpenAPI description of the request body."""


class _InMemory(MultiPartParser):
    """Keeps uploads in memory; `Guard` limits their size."""

    spool_max_size = 0  # never spools to a file


async def photo_of(request: Request) -> bytes:
    """Reads the photo of a request.

    Raises:
        HTTPException: The request has no photo.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, f"Send the photo as multipart/form-data in a field named {FIELD}.")
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The form cannot be read: {error.message}") from None
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise HTTPException(422, f"The field {FIELD} is missing or contains no file.")
    try:
        return await file.read()
    finally:
        await form.close()
