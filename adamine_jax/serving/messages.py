"""Requests and responses of the API: the schemas of its OpenAPI document, in which these docstrings appear."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from adamine_jax.gallery.filters import Filter

Size = Literal["small", "large"]
Identifier = Annotated[str, StringConstraints(max_length=1000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class Options(BaseModel):
    """Options of every search."""

    model_config = ConfigDict(extra="forbid")

    among: Literal["recipes", "photos", "both"] | None = Field(
        None, alias="in", description="what to search; default: recipes for a photo, photos for a recipe"
    )
    top: int = Field(12, ge=1, le=100, description="maximum number of results")
    class_name: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, alias="class", description="search only items of this class"
    )
    include: list[Name] = Field([], max_length=20, description="ingredients that every result has")
    exclude: list[Name] = Field(
        [], max_length=20, description="ingredients that no result has; recipes without ingredients are left out"
    )
    language: Annotated[str, StringConstraints(max_length=10)] | None = Field(
        None, description="search only recipes in this language, such as en"
    )
    tags: list[Annotated[str, StringConstraints(max_length=250, pattern="^[^=]+=.+$")]] = Field(
        [], alias="tag", max_length=20, description="NAME=VALUE; search only items with these tags"
    )
    words: Annotated[str, StringConstraints(max_length=300)] | None = Field(
        None, description="words of the recipe; the results of both searches are fused"
    )
    duplicates: bool = Field(False, description="whether near duplicates of a result are results too")
    added: list[Name] = Field([], alias="with", max_length=20, description="ingredients to add to the query")
    removed: list[Name] = Field([], alias="without", max_length=20, description="ingredients to remove from the query")

    @property
    def where(self) -> Filter:
        """The conditions on results."""
        tags = [tag.partition("=") for tag in self.tags]
        return Filter(
            self.class_name or None,
            tuple(self.include),
            tuple(self.exclude),
            self.language or "",
            tuple((name.strip(), value.strip()) for name, _, value in tags),
        )


class SimilarOptions(Options):
    """A search with an item of the gallery as the query."""

    id: Identifier = Field(description="id of the item")
    by: Literal["photo", "recipe"] = Field("photo", description="whether the item's photo or its recipe is the query")


class RecipeQuery(Options):
    """A search with a complete or partial recipe as the query."""

    text: Annotated[str, StringConstraints(max_length=4_000_000)] = Field(
        "", description="a pasted recipe: JSON, or the HTML of a web page; the fields below replace its parts"
    )
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] = ""
    ingredients: list[Line] = Field([], max_length=60, description="one ingredient per line")
    instructions: list[Line] = Field([], max_length=60, description="one step per line")


class Photo(BaseModel):
    """Addresses of an item's photo."""

    small: str
    large: str


class Ingredient(BaseModel):
    """An ingredient line of an item."""

    line: str
    names: list[str] = Field(description="names of its ingredients, as used by `with` and `without`")
    in_query: bool = Field(False, description="whether the query or `include` contains one of them")


class Item(BaseModel):
    """A recipe and its photo."""

    id: str
    title: str
    class_name: str = Field(serialization_alias="class", validation_alias="class")
    language: str = Field(description="ISO 639-1 code; empty if unknown")
    tags: list[tuple[str, str]] = Field(description="names and values of further fields of the source")
    ingredients: list[Ingredient]
    instructions: list[str]
    photo: Photo | None


class Hit(Item):
    """A search result."""

    place: int = Field(description="place among the results, from 1")
    place_before: int | None = Field(
        None,
        description="place without `with` and `without`, with near duplicates; null without these or beyond 1000",
    )
    similarity: float | None = Field(description="cosine similarity of the two embeddings; null in a search by words")
    places: dict[str, int] | None = Field(
        None,
        description="places in the searches by `words` and by `embedding` that were fused; title: 1 if it is the title",
    )


class QueryName(BaseModel):
    """An ingredient of the query."""

    name: str
    known: bool = Field(description="whether the model knows it; unknown ingredients are ignored")


class Found(BaseModel):
    """Search results; `recipes` or `photos` is null if it was not searched."""

    recipes: list[Hit] | None
    photos: list[Hit] | None
    names: list[QueryName] = Field(description="ingredients of the query")
    absent: list[str] = Field(description="ingredients in `without` that the recipe does not contain")
    unmatched: list[str] = Field(description="ingredients in `exclude` that no recipe of the gallery contains")
    milliseconds: float


class ClassCount(BaseModel):
    """A class of the gallery."""

    name: str
    items: int


class About(BaseModel):
    """The gallery and the queries that it supports."""

    items: int
    sides: list[Literal["recipes", "photos"]]
    photo_queries: bool = Field(description="whether the model can embed a photo")
    classes: list[ClassCount]
    languages: list[str] = Field(description="ISO 639-1 codes, most frequent first")
    examples: list[Item] = Field(description="items with photos to start from")
    max_photo_bytes: int
    step: int | None = Field(description="step of the model's checkpoint")


class Suggestions(BaseModel):
    """Names of ingredients, most frequent first."""

    names: list[str]


class NewItem(BaseModel):
    """A recipe to add to the gallery: its title, its lists of ingredients and instructions, an id, a class and tags."""

    model_config = ConfigDict(extra="allow")

    id: Identifier | None = None
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
    ingredients: list[Line] = Field([], max_length=200)
    instructions: list[Line] = Field([], max_length=200)
    class_name: Annotated[str, StringConstraints(max_length=200)] | None = Field(None, alias="class")


class Changed(BaseModel):
    """The item that was added, replaced or removed."""

    id: str
    items: int = Field(description="number of items of the gallery")


class State(BaseModel):
    """State of the server."""

    status: Literal["ok", "ready"]


class Error(BaseModel):
    """Why the request failed."""

    error: str
