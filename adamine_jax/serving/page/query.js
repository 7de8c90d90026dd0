// The query, and its representation in the address of the page, which can be shared.

const lines = (text) => text.split("\n").map((line) => line.trim().slice(0, 500)).filter(Boolean).slice(0, 60);

const names = (text) => text.split(/[,;]/).map((name) => name.trim().slice(0, 80)).filter(Boolean).slice(0, 20);

/** Fields that all queries have. */
export const FILTERS = ["class", "text", "include", "exclude", "language"];

/** The chips of a query are its ingredients; those that are crossed out are removed from it. */
export class Query {
  photo = null; // a file, which is not part of the address
  like = null; // {id, by}: an item of the gallery used as the query
  title = "";
  steps = "";
  chips = []; // {name, crossed, own}: `own` if the user typed it, rather than crossed it out in a result
  among = "recipes";
  class = "";
  text = ""; // words of the recipe
  include = ""; // ingredients that results have, and do not have, separated by commas
  exclude = "";
  language = "";

  static fromAddress(address) {
    const query = new Query();
    const values = new URLSearchParams(address);
    query.title = values.get("title") ?? "";
    query.steps = values.get("steps") ?? "";
    for (const name of FILTERS) query[name] = values.get(name) ?? "";
    const id = values.get("like");
    if (id) query.like = { id, by: values.get("by") === "recipe" ? "recipe" : "photo" };
    const crossed = values.getAll("without");
    query.chips = values.getAll("ingredient").map((name) => ({ name, crossed: crossed.includes(name), own: true }));
    for (const name of crossed) query.cross(name);
    const among = values.get("in");
    query.among = ["recipes", "photos", "both"].includes(among) ? among : query.defaultAmong();
    return query;
  }

  address() {
    const values = new URLSearchParams();
    if (this.like && !this.photo) {
      values.append("like", this.like.id);
      values.append("by", this.like.by);
    }
    const texts = ["title", ...(this.isPasted() ? [] : ["steps"]), ...FILTERS]; // a pasted page is too long
    for (const name of texts) if (this[name].trim()) values.append(name, this[name]);
    for (const chip of this.chips) if (chip.own) values.append("ingredient", chip.name);
    for (const name of this.crossed()) values.append("without", name);
    if (!this.isEmpty()) values.append("in", this.among);
    return values.size ? `?${values}` : "./";
  }

  /** What such a query usually searches. */
  defaultAmong() {
    if (this.photo) return "recipes";
    if (this.like) return this.like.by === "photo" ? "recipes" : "photos";
    return this.recipe().ingredients.length || this.title || this.steps ? "photos" : "recipes";
  }

  /** Whether there is nothing that an embedding can be computed from. */
  hasNoContent() {
    const { title, ingredients, instructions, text } = this.recipe();
    return !this.photo && !this.like && !title && !ingredients.length && !instructions.length && !text;
  }

  isEmpty = () => this.hasNoContent() && !this.text.trim();

  /** The conditions on results, as the API names them. */
  filters = () => ({
    class: this.class,
    words: this.text.trim(),
    include: names(this.include),
    exclude: names(this.exclude),
    language: this.language,
  });

  add(name) {
    const plain = name.trim().replace(/\s+/g, " ");
    if (!plain) return;
    const existing = this.find(plain);
    if (existing) Object.assign(existing, { crossed: false, own: true });
    else this.chips.push({ name: plain, crossed: false, own: true });
  }

  cross(name) {
    const existing = this.find(name);
    if (existing) existing.crossed = true;
    else this.chips.push({ name, crossed: true, own: false });
  }

  find = (name) => this.chips.find((chip) => chip.name.toLowerCase() === name.toLowerCase());

  remove(chip) {
    this.chips = this.chips.filter((other) => other !== chip);
  }

  crossed = () => this.chips.filter((chip) => chip.crossed).map((chip) => chip.name);

  /** Ingredients to add to a photo or an item; those of a recipe are part of it. */
  added = () => (this.photo || this.like ? this.chips.filter((chip) => !chip.crossed).map((chip) => chip.name) : []);

  /** Whether the steps are a pasted recipe: the HTML of a page, or JSON. */
  isPasted = () => /^\s*[<{[]/.test(this.steps);

  recipe() {
    const pasted = this.isPasted();
    return {
      ...(pasted && { text: this.steps }),
      title: this.title.trim(),
      ingredients: this.chips.filter((chip) => chip.own).map((chip) => chip.name),
      instructions: pasted ? [] : lines(this.steps),
    };
  }
}
