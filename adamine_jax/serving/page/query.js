// What is searched for, and how it stands in the page's address, so that it can be shared.

/** The chips of a query are ingredients; one that is crossed out is taken away from it. */
export class Query {
  photo = null; // a file; it stays in this tab
  like = null; // {id, by}: an item of the gallery is the query
  title = "";
  steps = "";
  chips = []; // {name, crossed, own}: own = it was written, not crossed out in a result
  among = "recipes";
  class = "";

  static ofAddress(address) {
    const query = new Query();
    const values = new URLSearchParams(address);
    query.title = values.get("title") ?? "";
    query.steps = values.get("steps") ?? "";
    query.class = values.get("class") ?? "";
    const id = values.get("like");
    if (id) query.like = { id, by: values.get("by") === "recipe" ? "recipe" : "photo" };
    const crossed = values.getAll("without");
    query.chips = values.getAll("ingredient").map((name) => ({ name, crossed: crossed.includes(name), own: true }));
    for (const name of crossed) query.cross(name);
    const among = values.get("in");
    query.among = ["recipes", "photos", "both"].includes(among) ? among : query.other();
    return query;
  }

  address() {
    const values = new URLSearchParams();
    if (this.like && !this.photo) {
      values.append("like", this.like.id);
      values.append("by", this.like.by);
    }
    for (const name of ["title", "steps", "class"]) if (this[name].trim()) values.append(name, this[name]);
    for (const chip of this.chips) if (chip.own) values.append("ingredient", chip.name);
    for (const name of this.crossed()) values.append("without", name);
    if (!this.isEmpty()) values.append("in", this.among);
    return values.size ? `?${values}` : "./";
  }

  /** The side that a query is usually searched in. */
  other() {
    if (this.photo) return "recipes";
    if (this.like) return this.like.by === "photo" ? "recipes" : "photos";
    return this.recipe().ingredients.length || this.title || this.steps ? "photos" : "recipes";
  }

  isEmpty() {
    const { title, ingredients, instructions } = this.recipe();
    return !this.photo && !this.like && !title && !ingredients.length && !instructions.length;
  }

  add(name) {
    const plain = name.trim().replace(/\s+/g, " ");
    if (!plain) return;
    const there = this.chips.find((chip) => chip.name.toLowerCase() === plain.toLowerCase());
    if (there) Object.assign(there, { crossed: false, own: true });
    else this.chips.push({ name: plain, crossed: false, own: true });
  }

  cross(name) {
    const there = this.chips.find((chip) => chip.name.toLowerCase() === name.toLowerCase());
    if (there) there.crossed = true;
    else this.chips.push({ name, crossed: true, own: false });
  }

  remove(chip) {
    this.chips = this.chips.filter((other) => other !== chip);
  }

  crossed = () => this.chips.filter((chip) => chip.crossed).map((chip) => chip.name);

  /** Added to a photo or an item; a recipe has them as its own. */
  added = () => (this.photo || this.like ? this.chips.filter((chip) => !chip.crossed).map((chip) => chip.name) : []);

  recipe() {
    return {
      title: this.title.trim(),
      ingredients: this.chips.filter((chip) => chip.own).map((chip) => chip.name),
      instructions: this.steps.split("\n").map((line) => line.trim().slice(0, 500)).filter(Boolean).slice(0, 60),
    };
  }
}
