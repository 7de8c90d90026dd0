"""The page in a real browser: its use, its errors and its accessibility."""

import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.serving.pages import CHROMIUM, choose, launched, titles
from tests.small_collection import photo_file

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
DROP = """([type, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "dish.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: files, clipboardData: files };
  const event = type === "paste" ? new ClipboardEvent(type, options) : new DragEvent(type, options);
  document.body.dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """Opens pages, and finally checks that none requested another server or reported an error."""
    contexts, requested, messages = [], [], []

    def open_page(query="", **options):
        contexts.append(browser.new_context(base_url=address, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(f"/{query}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert {urlsplit(url).netloc for url in requested if not url.startswith("blob:")} == {urlsplit(address).netloc}
    assert [line for line in messages if "Failed to load resource" not in line] == []


def test_a_photo_finds_recipes(opened, api):
    page = opened()
    expect(page.locator(".example")).to_have_count(6)
    choose(page, photo_file(8))
    found = api.post("/search/photo", files={"photo": photo_file(8)}).json()["recipes"]
    assert titles(page) == [hit["title"] for hit in found]
    first = page.locator(".card").first
    assert first.locator(".lines li").all_text_contents() == [line["line"] + "⊘" for line in found[0]["ingredients"]]
    expect(first.locator("ol")).to_be_hidden()
    first.locator("summary").click()
    assert first.locator("ol li").all_text_contents() == found[0]["instructions"]
    expect(page.get_by_alt_text("Your photo")).to_be_visible()
    expect(first.locator("img")).to_have_js_property("complete", True)
    assert first.locator("img").evaluate("image => image.naturalWidth") > 0


def test_more_results_on_request(opened, api):
    assert api.get("/gallery").json()["items"] == 24
    page = opened()
    choose(page, photo_file(8))
    expect(page.locator("#status")).to_have_text("the first 12 recipes, most similar first")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#status")).to_have_text("24 recipes, most similar first")
    assert len(titles(page)) == 24
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(opened, api, way):
    page = opened()
    expect(page.locator(".example").first).to_be_visible()
    page.evaluate(DROP, [way, list(photo_file(5))])
    found = api.post("/search/photo", files={"photo": photo_file(5)}).json()["recipes"]
    assert titles(page) == [hit["title"] for hit in found]


def test_ingredients_with_only_the_keyboard(opened):
    page = opened()
    expect(page.locator(".example").first).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "ingredient":
            break
    page.keyboard.type("ol")
    expect(page.locator("#suggestions").get_by_role("option")).to_have_text(["olive oil"])
    page.keyboard.press("ArrowDown")
    expect(page.locator("#ingredient")).to_have_attribute("aria-activedescendant", "suggestion-0")
    page.keyboard.press("Enter")
    page.keyboard.type("beets,")
    expect(page.locator("#chips .name")).to_have_text(["olive oil", "beets"])
    page.wait_for_url(lambda url: "beets" in url and "in=photos" in url)
    before = titles(page)
    for mark in page.locator(".lines mark").all_text_contents():
        assert "olive oil" in mark or "beets" in mark
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "beets"
    page.keyboard.press("Enter")
    crossed = page.get_by_role("button", name="Without beets", pressed=True)
    expect(crossed).to_be_focused()
    expect(page.locator(".up, .down").first).to_be_visible()
    assert titles(page) != before
    page.keyboard.press("Enter")
    expect(page.locator(".up, .down")).to_have_count(0)
    assert titles(page) == before


def test_crossing_out_in_a_result(opened, api):
    page = opened("?ingredient=dill&in=recipes")
    titles(page)
    button = page.locator(".lines button:not([aria-label='Without dill'])").first
    name = button.get_attribute("aria-label").removeprefix("Without ")
    button.click()
    expect(page.locator("#chips li.crossed")).to_contain_text(name)
    expect(page.locator(".up, .down").first).to_be_visible()
    query = {"ingredients": ["dill"], "without": [name], "in": "recipes"}
    assert titles(page) == [hit["title"] for hit in api.post("/search/recipe", json=query).json()["recipes"]]


def test_the_link_reproduces_the_results(opened):
    page = opened()
    page.fill("#ingredient", "beets, 3 cups salt & pepper,")
    page.locator("#more summary").click()
    page.fill("#title", "Soup “à la” <b>")
    page.fill("#steps", "Stir.\nWait.")
    page.select_option("#class", "soup")
    page.get_by_text("Both", exact=True).click()
    expect(page.get_by_role("heading", name="Recipes", exact=True)).to_be_visible()
    page.wait_for_url(lambda url: "class=soup" in url and "in=both" in url and "Wait" in url)
    expect(page.locator("#status")).to_contain_text("of kind soup")
    expected = titles(page)
    assert all(title.startswith("soup") for title in expected)
    values = parse_qs(urlsplit(page.url).query)
    assert values["ingredient"] == ["beets", "3 cups salt & pepper"]
    other = opened(f"?{urlsplit(page.url).query}")
    assert titles(other) == expected
    expect(other.locator("#chips .name")).to_have_text(values["ingredient"])
    expect(other.locator("#steps")).to_have_value("Stir.\nWait.")
    expect(other.locator("#class")).to_have_value("soup")


def test_the_other_direction_and_back(opened, api):
    page = opened("?ingredient=dill&in=recipes")
    before = titles(page)
    page.get_by_role("button", name="What looks like this?").first.click()
    expect(page.get_by_role("heading", name="Photos")).to_be_visible()
    values = parse_qs(urlsplit(page.url).query)
    query = {"id": values["like"][0], "by": "recipe", "in": "photos"}
    assert titles(page) == [hit["title"] for hit in api.get("/search/similar", params=query).json()["photos"]]
    expect(page.locator("#photo-note")).to_contain_text(before[0])
    page.go_back()
    expect(page.get_by_role("heading", name="Recipes", exact=True)).to_be_visible()
    assert titles(page) == before


def test_files_that_are_not_photos_are_refused(opened):
    page = opened()
    expect(page.locator(".example").first).to_be_visible()
    choose(page, b"Dear diary", "diary.txt", "text/plain")
    expect(page.get_by_role("alert")).to_contain_text("“diary.txt” is not an image")
    choose(page, b"Dear diary")
    expect(page.get_by_role("alert")).to_contain_text("The photo cannot be used: not an image.")
    choose(page, photo_file(4))
    titles(page)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_server_fails_and_recovers(opened):
    page = opened("?ingredient=dill")
    before = titles(page)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_text("Recipes", exact=True).first.click()
    expect(page.get_by_role("alert")).to_contain_text("The server is not responding.")
    expect(page.locator(".card")).to_have_count(0)
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    assert len(titles(page)) == len(before)
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.slow
def test_a_busy_server_is_retried(opened):
    page = opened()
    expect(page.locator(".example").first).to_be_visible()
    answers = [503]

    def busy_once(route):
        if answers:
            route.fulfill(status=answers.pop(), headers={"retry-after": "1"}, json={"error": "The server is busy."})
        else:
            route.continue_()

    page.route("**/search/**", busy_once)
    choose(page, photo_file(4))
    titles(page)
    assert not answers


def test_text_of_the_gallery_is_never_markup(opened, api):
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    found = api.post("/search/recipe", json={"ingredients": ["dill"], "in": "recipes", "top": 2}).json()
    for hit in found["recipes"]:
        hit |= {"title": hostile, "class": hostile, "id": hostile, "instructions": [hostile]}
        hit["ingredients"] = [{"line": hostile, "names": [hostile], "in_query": True}]
    found["names"] = [{"name": hostile, "known": False}]
    page = opened()
    page.route("**/search/**", lambda route: route.fulfill(body=json.dumps(found), content_type="application/json"))
    page.fill("#ingredient", f"{hostile[:60]},")
    assert titles(page) == [hostile, hostile]
    page.locator(".lines button").first.click()
    assert titles(page) == [hostile, hostile]
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], main script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_accessible_and_fits(opened, scheme, width):
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 844}, has_touch=width == 390)
    expect(page.locator(".example").first).to_be_visible()

    def check():
        violations = Axe().run(page).response["violations"]
        serious = [
            (found["id"], found["nodes"][0]["html"])
            for found in violations
            if found["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    choose(page, photo_file(8))
    titles(page)
    assert page.locator(".card").first.evaluate("card => card.getBoundingClientRect().top < innerHeight")
    page.locator(".lines button").first.click()
    expect(page.locator("#chips li.crossed")).to_have_count(1)
    page.locator(".card summary").first.click()
    page.fill("#ingredient", "o")
    expect(page.locator("#suggestions").get_by_role("option").first).to_be_visible()
    check()
    choose(page, b"x", "x.txt", "text/plain")
    expect(page.get_by_role("alert")).to_be_visible()
    check()


def test_the_page_loads_nothing_from_other_servers(address):
    for name in ("", "app.js", "style.css", "api.js", "chips.js", "photo.js", "query.js", "results.js", "icon.svg"):
        answer = httpx.get(f"{address}/{name}")
        assert answer.status_code == 200
        tag = {"if-none-match": answer.headers["etag"]}
        assert httpx.get(f"{address}/{name}", headers=tag).status_code == 304
        assert "https://" not in answer.text


def test_filters_and_words(opened, api):
    page = opened()
    choose(page, photo_file(8))
    before = titles(page)
    page.locator("#filters summary").click()
    line = page.locator(".card").first.locator(".lines li mark, .lines li span span").first.text_content()
    name = api.post("/search/photo", files={"photo": photo_file(8)}).json()["recipes"][0]["ingredients"][0]["names"][0]
    assert name in line
    page.fill("#exclude", name)
    expect(page.locator("#status")).to_contain_text(f"without any {name}")
    without = titles(page)
    assert without
    assert name not in " ".join(page.locator(".lines li").all_text_contents())
    assert "exclude=" in page.url
    expect(page.locator("#unmatched")).to_be_hidden()
    page.fill("#exclude", "wombat")
    expect(page.locator("#unmatched")).to_contain_text("In no recipe: wombat. Check the spelling")
    page.fill("#exclude", "")
    expect(page.locator("#unmatched")).to_be_hidden()
    page.fill("#include", name)
    expect(page.locator("#status")).to_contain_text(f"with {name}")
    expect(page.locator(".card").first.locator("mark").first).to_contain_text(name)
    page.fill("#include", "")
    page.fill("#text", before[3])
    expect(page.locator(".facts").first).to_contain_text("title")
    assert titles(page)[0] == before[3]
    assert Axe().run(page).violations_count == 0
    page.click("#clear-photo")
    expect(page.locator(".facts").first).not_to_contain_text("similarity")
    assert titles(page)[0] == before[3]
    again = opened(f"?{urlsplit(page.url).query}")
    assert titles(again) == titles(page)


@pytest.mark.slow
def test_a_photo_that_is_not_loaded_yet_is_grey(opened):
    page = opened()
    expect(page.locator(".example").first).to_be_visible()
    page.route("**/api/v1/photo**", lambda route: None)  # never answered
    page.fill("#text", "soup")
    expect(page.locator(".card .picture").first).to_have_text("")
    page.unroute("**/api/v1/photo**")
    page.route("**/api/v1/photo**", lambda route: route.abort())
    page.reload()
    expect(page.locator(".card .picture").first).to_have_text("no photo")
    page.fill("#text", "wombat")
    expect(page.locator("#status")).to_have_text("Nothing found. Use other words, or fewer conditions.")
