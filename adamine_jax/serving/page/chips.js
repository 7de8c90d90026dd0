// Shows the ingredients as chips, and suggests ingredients while the user types.

import * as api from "./api.js";
import { make } from "./results.js";

const DELAY = 120;

/** Shows the chips of a query; `changed()` is called when a chip is crossed out, restored or removed. */
export function showChips(query, changed) {
  const list = document.getElementById("chips");
  const focused = list.contains(document.activeElement) && document.activeElement.dataset.key;
  list.replaceChildren(
    ...query.chips.map((chip) => {
      const name = make("button", {
        type: "button", class: "name", "aria-pressed": String(chip.crossed), "data-key": `cross ${chip.name}`,
        title: chip.crossed ? "Restore" : "Cross out", "aria-label": `Without ${chip.name}`,
        onclick: () => {
          chip.crossed = !chip.crossed;
          changed();
        },
      }, chip.name);
      const remove = make("button", {
        type: "button", class: "remove", "aria-label": `Remove ${chip.name}`, title: "Remove",
        "data-key": `remove ${chip.name}`,
        onclick: () => {
          query.remove(chip);
          document.getElementById("ingredient").focus();
          changed();
        },
      }, "×");
      return make("li", { class: chip.crossed && "crossed" }, name, remove);
    }),
  );
  if (focused) list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** Adds suggestions to the field; calls `added(name)` for each ingredient, `removedLast()` for an initial backspace. */
export function suggest(added, removedLast) {
  const field = document.getElementById("ingredient");
  const list = document.getElementById("suggestions");
  let [chosen, timer, abort] = [-1, 0, new AbortController()];

  function close() {
    clearTimeout(timer);
    abort.abort();
    chosen = -1;
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function accept(text) {
    close();
    field.value = "";
    for (const name of text.split(/[,;\n]/)) if (name.trim()) added(name.slice(0, 80));
  }

  function choose(number) {
    const options = [...list.children];
    chosen = (number + options.length) % options.length;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === chosen)));
    field.setAttribute("aria-activedescendant", options[chosen].id);
  }

  async function showSuggestions() {
    abort = new AbortController();
    const names = await api.suggestions(field.value, abort.signal).catch(() => []);
    if (!names.length || !field.value.trim() || abort.signal.aborted) return close();
    const option = (name, number) => {
      const attributes = { role: "option", id: `suggestion-${number}`, "aria-selected": "false" };
      const mousedown = (event) => {
        event.preventDefault(); // keeps the focus in the field
        accept(name);
      };
      return make("li", { ...attributes, onmousedown: mousedown }, name);
    };
    chosen = -1;
    list.replaceChildren(...names.map(option));
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
  }

  field.addEventListener("input", () => {
    if (/[,;]/.test(field.value)) return accept(field.value);
    close();
    if (field.value.trim()) timer = setTimeout(showSuggestions, DELAY);
  });
  field.addEventListener("keydown", (event) => {
    const { key } = event;
    if (key === "Enter") {
      event.preventDefault();
      accept(chosen >= 0 ? list.children[chosen].textContent : field.value);
    } else if (key === "Escape") close();
    else if (key === "Backspace" && !field.value) removedLast();
    else if ((key === "ArrowDown" || key === "ArrowUp") && !list.hidden) {
      event.preventDefault();
      choose(key === "ArrowDown" ? chosen + 1 : chosen < 0 ? -1 : chosen - 1);
    }
  });
  field.addEventListener("blur", () => (field.value.trim() ? accept(field.value) : close()));
}
