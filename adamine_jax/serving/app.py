"""The ASGI application: the API and the page."""

import dataclasses
import functools
import sys
import time
from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any

import fastapi
import msgspec
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

import adamine_jax
from adamine_jax.base.errors import UserError
from adamine_jax.formats.recipe_files import parsed
from adamine_jax.gallery.items import BusyGallery, MissingItem
from adamine_jax.recipes.given import recipe_of
from adamine_jax.recipes.photos import FORMATS, UnusablePhoto
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.serving import engine as engines
from adamine_jax.serving import messages
from adamine_jax.serving.engine import Engine
from adamine_jax.serving.guard import Guard
from adamine_jax.serving.item_changes import change_routes
from adamine_jax.serving.item_responses import ItemResponses
from adamine_jax.serving.metrics import Metrics
from adamine_jax.serving.uploads import uploaded_photo

PAGE = Path(__file__).parent / "page"
_JPEG = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
_FORMATS = f"{FORMATS} file; the first frame of a GIF"
_PHOTO_FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {"photo": {"type": "string", "format": "binary", "description": _FORMATS}},
}
_DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The server does not accept changes.",
    404: "The item does not exist or has no photo.",
    408: "The request did not arrive in time.",
    409: "The gallery has an item with this id.",
    413: "The request is too large.",
    415: "The content type of the request is wrong.",
    422: "A value in the request is invalid.",
    503: "The server is busy; retry after the seconds given in `Retry-After`.",
}


def create_app(engine: Engine, origins: Sequence[str] = (), hosts: Collection[str] = (), token: str = "") -> Guard:
    """Creates the application.

    Args:
        engine: Engine that answers the queries.
        origins: Other sites whose pages may use the API.
        hosts: Accepted names in the Host header; see `Guard`.
        token: Token with which the gallery may be changed; "" = not at all.
    """

    app = FastAPI(
        title="AdaMine",
        summary="Finds recipes for photos, and photos for recipes",
        version=adamine_jax.__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # the documentation pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,  # the target would contain the Host header
    )
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_headers=["content-type"])
    _add_errors(app)
    items = ItemResponses(engine.gallery)
    app.include_router(_state(engine), prefix="/api/v1", tags=["state"])
    app.include_router(_gallery(engine, items), prefix="/api/v1", tags=["gallery"])
    app.include_router(_searches(engine, items), prefix="/api/v1/search", tags=["search"])
    errors = _errors(400, 401, 403, 404, 408, 409, 413, 422, 503)
    app.include_router(change_routes(engine, token, errors), prefix="/api/v1", tags=["changes"])
    metrics = Metrics(app, engine)
    _add_page(app)
    guard = Guard(app, engine.limits, hosts)
    guard.observe = metrics.observe
    return guard


def _add_page(app: FastAPI) -> None:
    files = StaticFiles(directory=PAGE)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route("/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request, name: str = "index.html") -> Response:
        response = await files.get_response(name, request.scope)
        response.headers["cache-control"] = "no-cache"  # browsers revalidate, and reload only what has changed
        return response


def _state(engine: Engine) -> fastapi.APIRouter:
    router = fastapi.APIRouter()

    @router.get("/health")
    async def health() -> messages.State:
        """Reports that the server is running."""
        return messages.State(status="ok")

    @router.get("/ready", responses=_errors(503))
    async def ready() -> messages.State:
        """Reports that the server accepts queries: it reaches the gallery, the queue has room, and nothing is stuck."""
        with engine.taken():
            engine.check_progress()
            await engine.in_thread(engine.gallery.refresh)
            return messages.State(status="ready")

    return router


def _gallery(engine: Engine, items: ItemResponses) -> fastapi.APIRouter:
    router, gallery = fastapi.APIRouter(), engine.gallery

    @functools.lru_cache(1)
    def about(_: Hashable) -> messages.About:
        """Describes a state of the gallery."""
        return messages.About(
            items=len(gallery),
            sides=[among for among in ("recipes", "photos") if among in engine.searched],
            photo_queries=engine.decoders is not None,
            classes=[messages.ClassCount(name=name, items=n) for name, n in gallery.class_counts().items()],
            languages=[language for language in gallery.language_counts() if language],
            examples=items.examples(),
            max_photo_bytes=engine.limits.photo_bytes,
            step=gallery.about.get("step"),
        )

    @router.get("/gallery")
    def the_gallery() -> messages.About:
        """Describes the gallery and the queries that it supports."""
        return about(gallery.state())

    @router.get("/item", response_model=messages.Item, responses=_errors(404, 422))
    def item(id: Annotated[messages.Identifier, Query()]) -> dict[str, Any]:
        """Returns an item of the gallery."""
        return items.item(_row(engine, id))

    @router.get("/photo", response_class=Response, responses=_errors(404, 422) | {200: _JPEG})
    def photo(
        id: Annotated[messages.Identifier, Query()], size: Annotated[messages.Size, Query()] = "large"
    ) -> Response:
        """Returns the photo of an item, small or in the size stored in the gallery."""
        content = items.photo(_row(engine, id), size)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    @router.get("/suggestions", responses=_errors(422))
    async def suggestions(
        text: Annotated[str, Query(max_length=80)], top: Annotated[int, Query(ge=1, le=50)] = 8
    ) -> messages.Suggestions:
        """Suggests ingredients while a person types."""
        return messages.Suggestions(names=engine.names.beginning(text, top))

    return router


def _searches(engine: Engine, items: ItemResponses) -> fastapi.APIRouter:
    router = fastapi.APIRouter()

    async def search(query: engines.Query, default: str, options: messages.Options) -> Response:
        start = time.perf_counter()
        await check_filter(options)
        answer = await engine.answer(query, _among(engine, options.among, default), options)
        return await engine.in_thread(respond, answer, options, start)

    async def check_filter(options: messages.Options) -> None:
        if options.where:
            try:
                await engine.in_thread(engine.gallery.check_filter, options.where)
            except BusyGallery:
                raise
            except UserError as error:
                if options.class_name and "no class" in str(error):
                    reason = "The gallery has no item of this class; /api/v1/gallery lists the classes."
                else:
                    reason = f"{error}."
                raise HTTPException(422, reason) from None

    def respond(answer: engines.Answer, options: messages.Options, start: float) -> Response:
        unknown = set(engine.encoder.texts.unknown_names(RecipeText(names=tuple(answer.names))))
        marked = [*answer.names, *options.include]
        hits = {among: items.hits(found, marked) for among, found in answer.found.items()}
        content = {
            "recipes": hits.get("recipes"),
            "photos": hits.get("photos"),
            "names": [{"name": name, "known": name not in unknown} for name in dict.fromkeys(answer.names)],
            "absent": answer.absent,
            "unmatched": engine.gallery.unmatched(options.where),
            "milliseconds": round(1000 * (time.perf_counter() - start), 1),
        }
        # A `messages.Found`; having FastAPI create and validate one takes as long as everything else.
        return Response(msgspec.json.encode(content), media_type="application/json")

    @router.post(
        "/photo",
        response_model=messages.Found,
        responses=_errors(400, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _PHOTO_FORM}}}},
    )
    async def search_by_photo(request: Request, options: Annotated[messages.Options, Query()]) -> Response:
        """Searches by photo. The options may be in the query string or fields of the form."""
        if engine.decoders is None:
            raise HTTPException(
                422, "The model reads precomputed image features and cannot embed photos; search with a recipe."
            )
        # Not yet a pending query, so that slow uploads do not fill the queue.
        upload, options = await uploaded_photo(request)
        with engine.taken():
            try:
                photo = await engine.decoders.stored(upload, engine.encoder.trained.photo_side)
            except UnusablePhoto as error:
                remedy = error.remedy[0].upper() + error.remedy[1:]
                raise HTTPException(422, f"The photo cannot be used: {error.reason}. {remedy}.") from None
            return await search(photo, "recipes", options)

    @router.post("/recipe", response_model=messages.Found, responses=_errors(400, 408, 413, 422, 503))
    async def search_by_recipe(query: messages.RecipeQuery) -> Response:
        """Searches by a complete or partial recipe, or by a pasted one."""
        with engine.taken():
            try:
                recipe = await engine.in_thread(_recipe, query)
                engine.encoder.check(recipe, "The query")
            except (UserError, ImportError) as error:
                raise HTTPException(422, f"{error}.") from None
            return await search(recipe, "photos", query)

    @router.get("/similar", response_model=messages.Found, responses=_errors(404, 422, 503))
    async def search_by_item(options: Annotated[messages.SimilarOptions, Query()]) -> Response:
        """Searches by the photo or the recipe of an item of the gallery."""
        modality = "image" if options.by == "photo" else "recipe"
        if modality not in engine.gallery.modalities:
            raise HTTPException(422, f"The gallery contains only {engine.searched[0]}.")
        with engine.taken():
            row = await engine.in_thread(_row, engine, options.id)
            return await search((modality, row), "recipes" if options.by == "photo" else "photos", options)

    @router.get("/words", response_model=messages.Found, responses=_errors(422, 503))
    async def search_by_words(options: Annotated[messages.Options, Query()]) -> Response:
        """Searches by `words` alone, in the recipes."""
        start = time.perf_counter()
        if not options.words:
            raise HTTPException(422, "words: give at least one word.")
        with engine.taken():
            await check_filter(options)
            among = _among(engine, options.among, engine.searched[0])
            found = {each: await engine.find_words(each, options) for each in among}
            return await engine.in_thread(respond, engines.Answer(found, [], []), options, start)

    return router


def _recipe(query: messages.RecipeQuery) -> RecipeText:
    """Returns the recipe of a query, read as an import reads it; parts that are given replace those of a pasted one."""
    parts = {"title": query.title, "ingredients": query.ingredients, "instructions": query.instructions}
    given = {part: value for part, value in parts.items() if "".join(value)}
    if not query.text.strip():
        return recipe_of(given, "The query")
    pasted = parsed(query.text, "The pasted text")
    recipe = recipe_of(given, "The query") if given else pasted
    return dataclasses.replace(pasted, **{part: getattr(recipe, part) for part in given})


def _row(engine: Engine, identifier: str) -> int:
    try:
        return engine.gallery.row_of(identifier)
    except MissingItem:
        raise HTTPException(404, "The gallery has no such item.") from None


def _among(engine: Engine, requested: str | None, default: str) -> tuple[str, ...]:
    """Returns what to search: 'recipes', 'photos' or both."""
    among = requested or default
    if among == "both" or (requested is None and default not in engine.searched):
        return engine.searched
    if among not in engine.searched:
        raise HTTPException(422, f"The gallery contains only {engine.searched[0]}; search in {engine.searched[0]}.")
    return (among,)


def _errors(*statuses: int) -> dict[int | str, dict]:
    return {status: {"model": messages.Error, "description": _DESCRIPTIONS[status]} for status in statuses}


def _add_errors(app: FastAPI) -> None:
    """Makes all errors have the form of `messages.Error`."""

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{error.detail.removesuffix('.')}."}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:])) or first["loc"][0]
        text = {
            "json_invalid": f"The body is not valid JSON at character {where}.",
            "model_attributes_type": "Send one JSON object, with the header content-type: application/json.",
            "extra_forbidden": f"{where}: unknown field.",
        }.get(first["type"], f"{where}: {first['msg']}.")
        return JSONResponse({"error": text}, 422)

    @app.exception_handler(BusyGallery)
    async def unreachable(_: Request, error: BusyGallery) -> JSONResponse:
        print(error, file=sys.stderr, flush=True)
        return JSONResponse({"error": "The gallery cannot be searched now; try again."}, 503, {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def internal_error(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "Internal server error; the log of the server has the details."}, 500)
