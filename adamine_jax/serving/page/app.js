// The page: the query on the left, its results on the right. The address of the page always contains the query.

import * as api from "./api.js";
import { showChips, suggest } from "./chips.js";
import { receivePhotos, shrink } from "./photo.js";
import { FILTERS, Query } from "./query.js";
import { make, picture, show } from "./results.js";

const DELAY = 300;
// Numbers of results: at first, and after each "Show more". Up to 50, the order of fused results does not depend on it.
const SIZES = [12, 24, 49];
const element = (id) => document.getElementById(id);
let query = Query.fromAddress(location.search);
let gallery = null;
let running = new AbortController();
let timer = 0;
let size = SIZES[0];

/** Searches after a pause in typing. */
function changed() {
  showQuery();
  clearTimeout(timer);
  timer = setTimeout(() => search(), DELAY);
}

/** Searches for up to `top` results; `isNew` adds an entry to the browser's history. */
async function search(isNew = false, top = SIZES[0]) {
  size = top;
  clearTimeout(timer);
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const state = { photo: query.photo };
  if (isNew) history.pushState(state, "", query.address());
  else history.replaceState(state, "", query.address());
  showError(null);
  if (query.isEmpty()) return showExamples();
  document.body.classList.add("busy");
  element("results").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => (element("status").textContent = "Searching …"), 600);
  try {
    const found = await api.search(query, top + 1, signal); // one more shows whether there are further ones
    if (!signal.aborted) showFound(found, top);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof api.ApiError)) throw error;
    showError(error.message);
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) {
      document.body.classList.remove("busy");
      element("results").removeAttribute("aria-busy");
    }
  }
}

function showFound(found, top) {
  const searched = ["recipes", "photos"].filter((among) => found[among]);
  const more = searched.filter((among) => found[among].length > top);
  for (const among of more) found[among].length = top;
  const counts = searched.map((among) => `${more.includes(among) ? "the first " : ""}${found[among].length} ${among}`);
  const within = query.class ? ` of kind ${query.class}` : "";
  const conditions = [query.include && ` with ${query.include}`, query.exclude && ` without any ${query.exclude}`];
  const order = query.text.trim() ? "best match first" : "most similar first";
  const isEmpty = searched.every((among) => !found[among].length);
  element("status").textContent = isEmpty
    ? "Nothing found. Use other words, or fewer conditions."
    : `${counts.join(" and ")}${within}${conditions.filter(Boolean).join(",")}, ${order}`;
  const unknown = found.names.filter((name) => !name.known).map((name) => name.name);
  element("unknown").textContent = `Unknown to the model and ignored: ${unknown.join(", ")}`;
  element("unknown").hidden = !unknown.length;
  const advice = "Check the spelling; in languages other than English, give all forms.";
  element("unmatched").textContent = `In no recipe: ${found.unmatched.join(", ")}. ${advice}`;
  element("unmatched").hidden = !found.unmatched.length;
  show(element("found"), found, query, { cross, like, sides: gallery.sides });
  const next = SIZES[SIZES.indexOf(top) + 1];
  element("next").hidden = !more.length || !next;
  element("next").onclick = () => {
    search(false, next);
    element("results").focus({ preventScroll: true });
  };
}

function showExamples() {
  document.body.classList.remove("busy");
  element("unknown").hidden = element("unmatched").hidden = element("next").hidden = true;
  element("status").textContent = gallery?.examples.length
    ? "Add a photo of a dish or list its ingredients, or start from one of these examples:"
    : "Add a photo of a dish or list its ingredients.";
  const examples = (gallery?.examples ?? []).map((item) => {
    const click = () => like(item, "photo", available("recipes"));
    const title = make("strong", {}, item.title || "Untitled");
    return make("li", {}, make("button", { type: "button", class: "example", onclick: click }, picture(item), title));
  });
  element("found").replaceChildren(make("ul", { class: "cards examples", "aria-label": "Examples" }, ...examples));
}

function showError(message) {
  element("error").hidden = !message;
  element("error-text").textContent = message ?? "";
  if (!message) return;
  element("status").textContent = "";
  element("next").hidden = true;
  element("found").replaceChildren();
}

function showQuery() {
  showChips(query, changed);
  const image = element("preview");
  const hasImage = Boolean(query.photo || query.like);
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.hidden = !hasImage;
  if (query.photo) {
    image.src = URL.createObjectURL(query.photo);
    image.alt = "Your photo";
  } else if (query.like) {
    image.src = `api/v1/photo?${new URLSearchParams({ id: query.like.id, size: "large" })}`;
    image.alt = "Photo of the dish used as the query";
  } else image.removeAttribute("src");
  element("photo").hidden = !hasImage && gallery?.photo_queries === false; // the model reads precomputed image features
  element("hint").hidden = hasImage;
  element("clear-photo").hidden = !hasImage;
  element("more").hidden = hasImage;
  element("photo-heading").textContent = query.like && !query.photo ? "Dish from the gallery" : "Photo";
  element("words-heading").textContent = hasImage ? "With or without" : "Ingredients";
  for (const name of ["title", "steps"]) {
    if (element(name).value !== query[name]) element(name).value = query[name];
    if (query[name]) element("more").open = true;
  }
  for (const radio of document.querySelectorAll("[name=in]")) radio.checked = radio.value === query.among;
  for (const name of FILTERS) if (element(name).value !== query[name]) element(name).value = query[name];
  if (query.include || query.exclude || query.language) element("filters").open = true;
}

async function showLiked() {
  const { like } = query;
  const note = element("photo-note");
  note.hidden = !like || Boolean(query.photo);
  if (note.hidden) return;
  const item = await api.item(like.id).catch(() => null);
  if (query.like !== like) return;
  const part = like.by === "photo" ? "The photo" : "The recipe";
  note.textContent = item ? `${part} of “${item.title || "Untitled"}”` : "";
}

function cross(name) {
  query.cross(name);
  showQuery();
  search(false, size);
}

function like(item, by, among) {
  query = Object.assign(new Query(), { ...kept(query), text: "", like: { id: item.id, by }, among });
  run();
  element("results").focus({ preventScroll: true });
  scrollToResults();
}

/** The filters of a query, which a new one keeps. */
const kept = (old) => Object.fromEntries(FILTERS.map((name) => [name, old[name]]));

/** On a phone the results are below the query. */
function scrollToResults() {
  element("results").scrollIntoView({ block: "start" });
}

/** Shows a query and searches immediately. */
function run(isNew = true) {
  showQuery();
  showLiked();
  search(isNew);
}

async function receivePhoto(file) {
  if (gallery?.photo_queries === false) return;
  showError(null);
  if (file.type && !file.type.startsWith("image/")) {
    return showError(`“${file.name}” is not an image. Choose an image file.`);
  }
  const photo = await shrink(file);
  if (gallery && photo.size > gallery.max_photo_bytes) {
    return showError(`The photo is larger than ${gallery.max_photo_bytes / 1e6} MB. Choose a smaller one.`);
  }
  const { chips, among, like } = query;
  const isFirst = !query.photo && !like;
  query = Object.assign(new Query(), { ...kept(query), photo, chips, among: isFirst ? available("recipes") : among });
  run();
  scrollToResults();
}

function listen() {
  receivePhotos(receivePhoto);
  suggest(
    (name) => {
      const wasEmpty = query.isEmpty();
      query.add(name);
      if (wasEmpty) query.among = available(query.defaultAmong());
      changed();
    },
    () => {
      if (!query.chips.length) return;
      query.chips.pop();
      changed();
    },
  );
  for (const name of ["title", "steps"]) {
    element(name).addEventListener("input", (event) => {
      const wasEmpty = query.isEmpty();
      query[name] = event.target.value;
      if (wasEmpty && !query.isEmpty()) query.among = available(query.defaultAmong());
      changed();
    });
  }
  for (const radio of document.querySelectorAll("[name=in]")) {
    radio.addEventListener("change", () => {
      query.among = radio.value;
      search();
    });
  }
  for (const name of ["class", "language"]) {
    element(name).addEventListener("change", (event) => {
      query[name] = event.target.value;
      search();
    });
  }
  for (const name of ["text", "include", "exclude"]) {
    element(name).addEventListener("input", (event) => {
      query[name] = event.target.value;
      changed();
    });
  }
  element("clear-photo").addEventListener("click", () => {
    Object.assign(query, { photo: null, like: null });
    run();
    element("choose").focus();
  });
  element("query").addEventListener("submit", (event) => event.preventDefault());
  element("retry").addEventListener("click", () => (gallery ? search(false, size) : load()));
  element("share").addEventListener("click", share);
  addEventListener("popstate", (event) => {
    query = Query.fromAddress(location.search);
    query.photo = event.state?.photo ?? null;
    run(false);
  });
}

async function share() {
  const note = query.photo ? " It does not include your photo." : "";
  try {
    await navigator.clipboard.writeText(location.href);
    element("share-note").textContent = `Link copied.${note}`;
  } catch {
    element("share-note").textContent = `Copy the link from the address bar.${note}`;
  }
}

/** Returns `among`, or what the gallery has if it contains only recipes or only photos. */
const available = (among) => (gallery?.sides.length === 1 ? gallery.sides[0] : among);

async function load() {
  showError(null);
  try {
    gallery = await api.about();
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    return showError(error.message);
  }
  const content = gallery.sides.length > 1 ? "recipes and their photos" : gallery.sides[0];
  element("about").textContent = `${gallery.items.toLocaleString("en")} ${content}`;
  const kinds = gallery.classes.filter(({ name }) => name !== "background");
  kinds.sort((a, b) => a.name.localeCompare(b.name));
  element("class").append(...kinds.map(({ name, items }) => make("option", { value: name }, `${name} (${items})`)));
  if (query.class && !kinds.some(({ name }) => name === query.class)) query.class = "";
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  element("language").append(...gallery.languages.map((code) => make("option", { value: code }, names.of(code))));
  if (!gallery.languages.includes(query.language)) query.language = "";
  for (const id of ["language", "language-label"]) element(id).hidden = gallery.languages.length < 2;
  query.among = available(query.among);
  for (const radio of document.querySelectorAll("[name=in]")) {
    radio.disabled = gallery.sides.length === 1 && radio.value !== gallery.sides[0];
  }
  run(false);
}

listen();
load();
