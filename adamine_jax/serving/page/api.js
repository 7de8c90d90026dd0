// Sends requests to the server. A failed request throws an ApiError with a message for the user.

const BASE = "api/v1/";
const ATTEMPTS = 3;

export class ApiError extends Error {}

export const about = () => ask("gallery");
export const item = (id) => ask(`item?${new URLSearchParams({ id })}`);
export const suggestions = async (text, signal) =>
  (await ask(`suggestions?${new URLSearchParams({ text })}`, { signal })).names;

/** Searches with a `Query` for up to `top` results. */
export function search(query, top, signal) {
  const options = { in: query.among, top, ...query.filters(), with: query.added(), without: query.crossed() };
  if (query.photo) {
    const body = new FormData();
    body.append("photo", query.photo, "photo");
    return ask(`search/photo?${parameters(options)}`, { method: "POST", body, signal });
  }
  if (query.like) return ask(`search/similar?${parameters({ ...options, ...query.like })}`, { signal });
  if (query.hasNoContent()) return ask(`search/words?${parameters({ ...options, without: [] })}`, { signal });
  const recipe = { ...options, ...query.recipe(), with: [] };
  for (const name of ["class", "words", "language"]) if (!recipe[name]) delete recipe[name];
  const headers = { "content-type": "application/json" };
  return ask("search/recipe", { method: "POST", headers, body: JSON.stringify(recipe), signal });
}

function parameters(values) {
  const pairs = Object.entries(values).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  return new URLSearchParams(pairs.filter(([, value]) => value));
}

async function ask(path, options = {}) {
  for (let attempt = 1; ; attempt++) {
    let response;
    try {
      response = await fetch(BASE + path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The server is not responding. Check that it is running and that you are connected.");
    }
    if (response.status === 503 && attempt < ATTEMPTS) {
      await pause(1000 * Math.min(Number(response.headers.get("retry-after")) || 1, 5), options.signal);
      continue;
    }
    const content = await response.json().catch(() => null);
    if (response.ok && content) return content;
    throw new ApiError(content?.error ?? `The server returned an error (${response.status}).`);
  }
}

const pause = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
