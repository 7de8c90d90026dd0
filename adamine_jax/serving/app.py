"""The API and the page as an ASGI application."""

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import fastapi
import msgspec
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

import adamine_jax
from adamine_jax.base.errors import UserError
from adamine_jax.recipes.photos import UnusablePhoto
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.serving import engine as engines
from adamine_jax.serving import messages, uploads
from adamine_jax.serving.engine import Busy, Engine, NothingLeft
from adamine_jax.serving.guard import Guard
from adamine_jax.serving.items import Items, NoPhoto

PAGE = Path(__file__).parent / "page"
_SAID = {
    400: "The request cannot be read.",
    404: "There is no such item, or it has no photo.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "The body has another type than it should.",
    422: "Something in the request cannot be used.",
    503: "The server is busy; `Retry-After` says when to come again.",
}


def create_app(engine: Engine, origins: Sequence[str] = ()) -> Guard:
    """Makes the application.

    Args:
        engine: answers the queries; it is closed with the application.
        origins: other sites whose pages may use the API.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        engine.close()

    app = FastAPI(
        title="AdaMine",
        summary="Recipes for photos, and photos for recipes",
        version=adamine_jax.__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # these would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_headers=["content-type"])
    _add_errors(app)
    items = Items(engine.gallery)
    app.include_router(_state(engine), prefix="/api/v1", tags=["state"])
    app.include_router(_gallery(engine, items), prefix="/api/v1", tags=["gallery"])
    app.include_router(_searches(engine, items), prefix="/api/v1/search", tags=["search"])
    _add_page(app)
    return Guard(app, engine.limits)


def _add_page(app: FastAPI) -> None:
    files = StaticFiles(directory=PAGE)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route("/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request, name: str = "index.html") -> Response:
        answer = await files.get_response(name, request.scope)
        answer.headers["cache-control"] = "no-cache"  # asked for again, and sent again only where it has changed
        return answer


def _state(engine: Engine) -> fastapi.APIRouter:
    router = fastapi.APIRouter()

    @router.get("/health")
    async def health() -> messages.State:
        """The server lives."""
        return messages.State(status="ok")

    @router.get("/ready", responses=_errors(503))
    async def ready() -> messages.State:
        """The server takes a query: its models are compiled, and its queue is not full."""
        with engine.taken():
            return messages.State(status="ready")

    return router


def _gallery(engine: Engine, items: Items) -> fastapi.APIRouter:
    router, gallery = fastapi.APIRouter(), engine.gallery
    about = messages.About(
        items=len(gallery),
        sides=[side for side in ("recipes", "photos") if side in engine.searched],
        photo_queries=engine.reads_photos,
        classes=[messages.ClassCount(name=name, items=n) for name, n in gallery.class_counts().items()],
        examples=[],
        max_photo_bytes=engine.limits.photo_bytes,
        step=gallery.about.get("step"),
    )
    about.examples = items.examples()

    @router.get("/gallery")
    async def the_gallery() -> messages.About:
        """What is searched, and what may be asked."""
        return about

    @router.get("/item", response_model=messages.Item, responses=_errors(404, 422))
    def item(id: Annotated[messages.Identifier, Query()]) -> dict[str, Any]:
        """A recipe of the gallery."""
        return items.item(_row(engine, id))

    @router.get(
        "/photo",
        response_class=Response,
        responses=_errors(404, 422) | {200: {"content": {"image/jpeg": {"schema": _BINARY}}}},
    )
    def photo(
        id: Annotated[messages.Identifier, Query()], size: Annotated[messages.Size, Query()] = "large"
    ) -> Response:
        """An item's photo: small, or as large as the gallery has it."""
        try:
            content = items.photo(_row(engine, id), size)
        except NoPhoto as error:
            raise HTTPException(404, str(error)) from None
        return Response(content, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    @router.get("/suggestions", responses=_errors(422))
    async def suggestions(
        text: Annotated[str, Query(max_length=80)], top: Annotated[int, Query(ge=1, le=50)] = 8
    ) -> messages.Suggestions:
        """Ingredients for what someone begins to type."""
        return messages.Suggestions(names=engine.names.beginning(text, top))

    return router


def _searches(engine: Engine, items: Items) -> fastapi.APIRouter:
    router = fastapi.APIRouter()

    async def found(query: bytes | RecipeText | tuple[str, int], other: str, options: messages.Options) -> Response:
        began = time.perf_counter()
        answer = await engine.answer(
            engines.Query(
                by=query,
                among=_among(engine, options.among, other),
                top=options.top,
                class_name=_class_name(engine, options.class_name),
                added=options.added,
                removed=options.removed,
            )
        )
        return await engine.in_thread(described, answer, began)

    def described(answer: engines.Answer, began: float) -> Response:
        unknown = set(engine.encoder.texts.unknown_names(RecipeText(names=tuple(answer.names))))
        sides = {name: items.hits(hits, answer.names) for name, hits in answer.found.items()}
        content = {
            "recipes": sides.get("recipes"),
            "photos": sides.get("photos"),
            "names": [{"name": name, "known": name not in unknown} for name in dict.fromkeys(answer.names)],
            "absent": list(answer.absent),
            "milliseconds": round(1000 * (time.perf_counter() - began), 1),
        }
        # A `messages.Found`. FastAPI would make one and check it, which takes as long as all the rest.
        return Response(msgspec.json.encode(content), media_type="application/json")

    @router.post(
        "/photo",
        response_model=messages.Found,
        responses=_errors(400, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": uploads.BODY},
    )
    async def search_by_photo(request: Request, options: Annotated[messages.Options, Query()]) -> Response:
        """Searches with a photo."""
        with engine.taken():
            if not engine.reads_photos:
                raise HTTPException(422, "The model reads features of photos, not photos; search with a recipe.")
            async with engine.upload():
                photo = await engine.stored(await uploads.photo_of(request))
            return await found(photo, "recipes", options)

    @router.post("/recipe", response_model=messages.Found, responses=_errors(400, 408, 413, 422, 503))
    async def search_by_recipe(query: messages.RecipeQuery) -> Response:
        """Searches with a recipe, or with any part of one."""
        recipe = RecipeText(
            title=query.title,
            ingredients=tuple(filter(None, query.ingredients)),
            instructions=tuple(filter(None, query.instructions)),
        )
        try:
            engine.encoder.check(recipe, "The query")
        except UserError as error:
            raise HTTPException(422, f"{error}.") from None
        with engine.taken():
            return await found(recipe, "photos", query)

    @router.get("/similar", response_model=messages.Found, responses=_errors(404, 422, 503))
    async def search_by_item(options: Annotated[messages.SimilarOptions, Query()]) -> Response:
        """Searches with the photo or the recipe of an item of the gallery."""
        side = {"photo": "image", "recipe": "recipe"}[options.by]
        if side not in engine.gallery.sides:
            raise HTTPException(422, f"The gallery holds {engine.searched[0]} alone.")
        with engine.taken():
            row = await engine.in_thread(_row, engine, options.id)
            return await found((side, row), "recipes" if options.by == "photo" else "photos", options)

    return router


def _row(engine: Engine, identifier: str) -> int:
    try:
        return engine.gallery.row_of(identifier)
    except UserError:
        raise HTTPException(404, "The gallery has no such item.") from None


def _among(engine: Engine, wanted: str | None, other: str) -> tuple[str, ...]:
    """What is searched of 'recipes' and 'photos'; where nothing is wanted, what there is."""
    if wanted == "both" or (wanted is None and other not in engine.searched):
        return engine.searched
    if (wanted or other) not in engine.searched:
        raise HTTPException(422, f"The gallery holds {engine.searched[0]} alone; search in {engine.searched[0]}.")
    return (wanted or other,)


def _class_name(engine: Engine, name: str | None) -> str | None:
    if name and name not in engine.gallery.class_counts():
        raise HTTPException(422, "The gallery has no item of this class; /api/v1/gallery lists the classes.")
    return name or None


_BINARY = {"type": "string", "format": "binary"}


def _errors(*statuses: int) -> dict[int | str, dict]:
    return {status: {"model": messages.Error, "description": _SAID[status]} for status in statuses}


def _add_errors(app: FastAPI) -> None:
    """Every answer that is none has one form; see `messages.Error`."""

    def said(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers)

    @app.exception_handler(AnyHTTPException)
    async def http_error(_: Request, error: AnyHTTPException) -> JSONResponse:
        text = "There is nothing here." if error.detail == "Not Found" else error.detail
        return said(error.status_code, text if text.endswith(".") else f"{text}.", error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:])) or first["loc"][0]
        if first["type"] == "json_invalid":
            return said(422, f"The body is no JSON from character {where} on.")
        if first["type"] == "model_attributes_type":
            return said(422, "Send one JSON object, with the header content-type: application/json.")
        if first["type"] == "extra_forbidden":
            return said(422, f"{where}: there is no such field.")
        return said(422, f"{where}: {first['msg']}.")

    @app.exception_handler(UnusablePhoto)
    async def unusable(_: Request, error: UnusablePhoto) -> JSONResponse:
        return said(
            422,
            f"The photo cannot be used: {error.reason}. {error.remedy[0].upper()}{error.remedy[1:]}.",
        )

    @app.exception_handler(NothingLeft)
    async def nothing_left(_: Request, __: NothingLeft) -> JSONResponse:
        return said(422, "Nothing is left of the recipe; take less away.")

    @app.exception_handler(Busy)
    async def busy(_: Request, __: Busy) -> JSONResponse:
        return said(503, "The server is busy; try again in a second.", {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> JSONResponse:
        return said(500, "Something went wrong in the server; its log says what.")
