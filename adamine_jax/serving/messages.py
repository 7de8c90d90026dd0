"""What goes in and out of the API: the schemas of its OpenAPI document."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from adamine_jax.serving import limits

Among = Literal["recipes", "photos", "both"]
By = Literal["photo", "recipe"]
Size = Literal["small", "large"]
Identifier = Annotated[str, StringConstraints(max_length=limits.ID_CHARS)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=limits.NAME_CHARS)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=limits.LINE_CHARS)]


class Options(BaseModel):
    """How to search, whatever the query is."""

    model_config = ConfigDict(extra="forbid")

    among: Among | None = Field(None, alias="in", description="what to search; by default the query's other side")
    top: int = Field(12, ge=1, le=limits.TOP, description="how many results")
    class_name: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, alias="class", description="only items of this class"
    )
    added: list[Name] = Field([], alias="with", max_length=limits.NAMES, description="ingredients to add to the query")
    removed: list[Name] = Field([], alias="without", max_length=limits.NAMES, description="ingredients to take away")


class SimilarOptions(Options):
    """How to search with an item of the gallery."""

    id: Identifier = Field(description="of the item")
    by: By = Field("photo", description="which side of the item is the query")


class RecipeQuery(Options):
    """A recipe or any part of one, and how to search with it."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=limits.TITLE_CHARS)] = ""
    ingredients: list[Line] = Field([], max_length=limits.LINES, description="a line each")
    instructions: list[Line] = Field([], max_length=limits.LINES, description="a step each")


class Photo(BaseModel):
    """Where an item's photo is."""

    small: str
    large: str


class Ingredient(BaseModel):
    """A line of an item's ingredients."""

    line: str
    names: list[str] = Field(description="of the ingredients in it, as `with` and `without` take them")
    in_query: bool = Field(False, description="whether the query names one of them")


class Item(BaseModel):
    """A recipe and its photo."""

    id: str
    title: str
    class_name: str = Field(serialization_alias="class", validation_alias="class")
    ingredients: list[Ingredient]
    instructions: list[str]
    photo: Photo | None


class Hit(Item):
    """An item that was found."""

    place: int = Field(description="from 1, the best")
    place_before: int | None = Field(
        None, description="without `with` and `without`; null where there are none, or it was beyond the 1000th"
    )
    similarity: float = Field(description="cosine of the two embeddings")


class QueryName(BaseModel):
    """An ingredient of the query."""

    name: str
    known: bool = Field(description="whether the model's vocabulary has it; it does not see others")


class Found(BaseModel):
    """What a search has found; null on a side that was not searched."""

    recipes: list[Hit] | None
    photos: list[Hit] | None
    names: list[QueryName] = Field(description="the query's ingredients")
    absent: list[str] = Field(description="what was to be taken away from a recipe that does not have it")
    milliseconds: float


class ClassCount(BaseModel):
    """A class of the gallery."""

    name: str
    items: int


class About(BaseModel):
    """What is searched, and what may be asked."""

    items: int
    sides: list[Literal["recipes", "photos"]]
    photo_queries: bool = Field(description="whether the model can embed a photo")
    classes: list[ClassCount]
    examples: list[Item] = Field(description="a few items with photos")
    max_photo_bytes: int
    step: int | None = Field(description="of the checkpoint")


class Suggestions(BaseModel):
    """Names of ingredients, the most frequent first."""

    names: list[str]


class State(BaseModel):
    """Whether the server lives, or takes queries."""

    status: Literal["ok", "ready"]


class Error(BaseModel):
    """Why there is no answer."""

    error: str
