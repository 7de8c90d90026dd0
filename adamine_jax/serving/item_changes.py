"""Changes of the gallery through the API: items are added, replaced and removed by those who have the token."""

import contextlib
import dataclasses
import hmac
import sys
import threading
from collections.abc import Generator, Mapping
from typing import Annotated, Any

import fastapi
import msgspec
import numpy as np
from fastapi import HTTPException, Query, Request
from starlette.datastructures import UploadFile

from adamine_jax.base.errors import DiskFull, UserError
from adamine_jax.gallery.additions import check
from adamine_jax.gallery.building import item_of
from adamine_jax.gallery.items import BusyGallery, TakenId
from adamine_jax.recipes.given import recipe_of
from adamine_jax.recipes.photos import UnusablePhoto
from adamine_jax.recipes.texts import RecipeText, text_digest
from adamine_jax.serving import messages
from adamine_jax.serving.engine import Engine
from adamine_jax.serving.uploads import form_of

PATH = "/items"
_CONTENT = {
    "application/json": {"schema": messages.NewItem.model_json_schema()},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["recipe"],
            "properties": {
                "recipe": {"type": "string", "description": "the item as JSON"},
                "photo": {"type": "string", "format": "binary"},
            },
        }
    },
}
_BODY = {"requestBody": {"required": True, "content": _CONTENT}}


def change_routes(engine: Engine, token: str, responses: Mapping[int | str, dict]) -> fastapi.APIRouter:
    """Returns the routes that change the gallery.

    Args:
        engine: Engine of the gallery.
        token: What requests must have in the header `Authorization: Bearer TOKEN`; "" = no changes are accepted.
        responses: Descriptions of the errors.
    """
    router, lock = fastapi.APIRouter(dependencies=[fastapi.Depends(_Authorization(token))]), threading.Lock()
    sides = engine.gallery.modalities

    async def added(request: Request, identity: str | None, *, replace: bool) -> messages.Changed:
        values, photo = await _content(request)
        with engine.taken():
            try:
                recipe = await engine.in_thread(recipe_of, values, "The item")
                if photo is not None:
                    if engine.decoders is None:
                        raise UserError("The model reads image features and cannot embed photos")
                    photo = await engine.decoders.stored(photo, engine.encoder.trained.photo_side)
                check(engine.encoder, sides, recipe, photo is not None, "The item")
            except UnusablePhoto as error:
                raise HTTPException(422, f"The photo cannot be used: {error.reason}.") from None
            except UserError as error:
                raise HTTPException(422, f"{error}.") from None
            given = identity or values.get("id")
            known = str(given) if given else text_digest(recipe.title, recipe.ingredients, recipe.instructions)[:10]
            embeddings = await engine.embed_item(recipe if "recipe" in sides else None, photo)
            return await engine.in_thread(write, known, recipe, photo, embeddings, replace)

    def write(
        identity: str, recipe: RecipeText, photo: bytes | None, embeddings: dict[str, np.ndarray], replace: bool
    ) -> messages.Changed:
        with lock, _explained(), engine.gallery.editor() as editor:
            if editor.has(identity) and not replace:
                raise HTTPException(409, "The gallery already has an item with this id; replace it with PUT.")
            item = item_of(dataclasses.replace(recipe, id=identity), photo if "image" in sides else None)
            editor.add([item], embeddings, replace=replace)
        engine.gallery.refresh()
        return messages.Changed(id=identity, items=len(engine.gallery))

    def removed(identity: str) -> messages.Changed:
        with lock, _explained(), engine.gallery.editor() as editor:
            if not editor.remove([identity]):
                raise HTTPException(404, "The gallery has no such item.")
        engine.gallery.refresh()
        return messages.Changed(id=identity, items=len(engine.gallery))

    @router.post(PATH, status_code=201, responses={**responses}, openapi_extra=_BODY)
    async def add(request: Request) -> messages.Changed:
        """Adds an item; without an id, it gets one from its text."""
        return await added(request, None, replace=False)

    @router.put(PATH, responses={**responses}, openapi_extra=_BODY)
    async def replace(request: Request, id: Annotated[messages.Identifier, Query(min_length=1)]) -> messages.Changed:
        """Replaces the item with this id, or adds it."""
        return await added(request, id, replace=True)

    @router.delete(PATH, responses={**responses})
    def remove(id: Annotated[messages.Identifier, Query(min_length=1)]) -> messages.Changed:
        """Removes the item with this id."""
        return removed(id)

    return router


@contextlib.contextmanager
def _explained() -> Generator[None]:
    """Turns the errors of a change into responses."""
    try:
        yield
    except TakenId:
        raise HTTPException(409, "The gallery already has an item with this id; replace it with PUT.") from None
    except UserError as error:
        if not isinstance(error, BusyGallery):
            print(error, file=sys.stderr, flush=True)  # such as missing rights, which only the operator can give
        reason = "The disk is full" if isinstance(error, DiskFull) else "The gallery cannot be changed now"
        raise HTTPException(503, f"{reason}; try again later.", {"Retry-After": "5"}) from None


class _Authorization:
    """Requires the token, which is compared in constant time."""

    def __init__(self, token: str):
        self._expected = f"Bearer {token}".encode() if token else b""

    def __call__(self, request: Request) -> None:
        if not self._expected:
            raise HTTPException(403, "This server does not accept changes; start it with --token-file.")
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, self._expected):
            raise HTTPException(401, "The token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


async def _content(request: Request) -> tuple[dict[str, Any], bytes | None]:
    """Returns the recipe and the photo of a request, which is JSON or a form."""
    photo = None
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        form = await form_of(request)
        try:
            text, file = form.get("recipe"), form.get("photo")
            photo = await file.read() if isinstance(file, UploadFile) else None
        finally:
            await form.close()
        if not isinstance(text, str):
            raise HTTPException(422, "The field recipe is missing; send the item as JSON in it.")
        content = text.encode()
    else:
        content = await request.body()
    try:
        values = msgspec.json.decode(content)
        messages.NewItem.model_validate(values)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(422, f"The item is not valid JSON: {error}") from None
    except ValueError as error:
        first = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}  # pydantic's
        raise HTTPException(422, f"The item: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    return values, photo
