// Shows the results. Text from the gallery is set as textContent, never as markup.

/** Creates an element: make("p", {class: "note"}, "text", child). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const HEADINGS = { recipes: "Recipes", photos: "Photos" };

/** Shows the results; `actions` contains `cross(name)`, `like(item, by, among)` and the gallery's `sides`. */
export function show(container, found, query, actions) {
  const before = places(container);
  const opened = new Set([...container.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  const focused = document.activeElement?.dataset?.key;
  const crossed = new Set(query.crossed());
  const searched = Object.keys(HEADINGS).filter((among) => found[among]);
  container.replaceChildren(
    ...searched.map((among) => {
      const shown = found[among].map((hit) => card(hit, among, crossed, actions, opened));
      const list = make("ol", { class: "cards" }, ...shown);
      return make("section", { "aria-label": HEADINGS[among] }, make("h2", {}, HEADINGS[among]), list);
    }),
  );
  if (focused) container.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  move(container, before);
}

export function picture(item, alt = "") {
  const box = make("div", { class: "picture" }); // grey until the photo is loaded
  const none = () => make("span", {}, "no photo");
  if (item.photo) {
    const source = { src: local(item.photo.small), srcset: `${local(item.photo.large)} 2x` };
    const image = make("img", { ...source, alt, loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(none()));
    box.append(image);
  } else box.append(none());
  return box;
}

/** Makes an address of the server relative to the page, which a proxy may serve from a subfolder. */
const local = (path) => path.replace(/^\//, "");

function card(hit, among, crossed, actions, opened) {
  const key = `${among} ${hit.id}`;
  const lines = hit.ingredients.map((ingredient) => line(ingredient, key, crossed, actions));
  const isPhoto = among === "photos";
  const other = isPhoto ? "recipes" : "photos";
  const question = isPhoto ? "What is it made of?" : "What looks like this?";
  const steps = hit.instructions.map((step) => make("li", {}, step));
  const ask = (text, target, name) => {
    const label = `${text} (${hit.title})`;
    const click = () => actions.like(hit, isPhoto ? "photo" : "recipe", target);
    return make("button", { type: "button", "aria-label": label, "data-key": `${key} ${name}`, onclick: click }, text);
  };
  const questions = [ask("More like this", among, "like")];
  if (actions.sides.includes(other)) questions.unshift(ask(question, other, "other"));
  const body = [
    make("h3", {}, hit.title || "Untitled"),
    facts(hit),
    hit.similarity == null ? null : bar(hit.similarity),
    lines.length ? make("ul", { class: "lines", "aria-label": "Ingredients" }, ...lines) : null,
    steps.length ? details(`${key} steps`, opened, `${steps.length} step${steps.length > 1 ? "s" : ""}`, steps) : null,
    make("div", { class: "buttons" }, ...questions),
  ];
  const photo = picture(hit, `Photo of ${hit.title}`);
  const article = make("article", { class: "card" }, photo, make("div", { class: "body" }, ...body));
  return make("li", { "data-card": key }, article);
}

function details(key, opened, title, steps) {
  const summary = make("summary", { "data-key": key }, title);
  return make("details", { "data-key": key, open: opened.has(key) }, summary, make("ol", { class: "steps" }, ...steps));
}

function line(ingredient, key, crossed, actions) {
  const [name] = ingredient.names;
  const text = make(ingredient.in_query ? "mark" : "span", {}, ingredient.line);
  const isCrossed = ingredient.names.some((each) => crossed.has(each));
  const cross = make("button", {
    type: "button", "aria-label": `Without ${name}`, title: `Without ${name}`, "data-key": `${key} ${name}`,
    onclick: () => actions.cross(name),
  }, "⊘");
  return make("li", { class: isCrossed && "crossed" }, make("span", {}, text), name && !isCrossed ? cross : null);
}

function facts(hit) {
  const parts = [make("span", {}, `${hit.place}.`)];
  if (hit.similarity != null) parts.push(make("span", {}, `similarity ${hit.similarity.toFixed(2)}`));
  for (const [name, place] of Object.entries(hit.places ?? {})) {
    parts.push(make("span", {}, name === "title" ? "title" : `${name} ${place}`));
  }
  const moved = hit.place_before && hit.place_before - hit.place;
  if (moved) {
    const [word, arrow] = moved > 0 ? ["up", "↑"] : ["down", "↓"];
    parts.push(make("span", { class: word }, `${arrow} ${word} ${Math.abs(moved)}`));
  }
  if (hit.class && hit.class !== "background") parts.push(make("span", {}, hit.class));
  return make("p", { class: "facts" }, ...parts);
}

function bar(similarity) {
  const filled = make("i");
  filled.style.width = `${Math.round(100 * Math.min(Math.max(similarity, 0), 1))}%`;
  return make("div", { class: "bar", "aria-hidden": "true" }, filled);
}

const cards = (container) => [...container.querySelectorAll("[data-card]")];
const places = (container) =>
  new Map(cards(container).map((card) => [card.dataset.card, card.getBoundingClientRect()]));

/** Animates the cards from their previous positions. */
function move(container, before) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const card of cards(container)) {
    const [old, now] = [before.get(card.dataset.card), card.getBoundingClientRect()];
    const from = old
      ? { transform: `translate(${old.left - now.left}px, ${old.top - now.top}px)` }
      : { opacity: 0, transform: "scale(.96)" };
    card.animate([from, { transform: "none", opacity: 1 }], { duration: 350, easing: "ease-out" });
  }
}
