const MOST = 30;

/** What has happened, the newest first. */
export class News {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  /** Adds a line; its kind and its figures are also in attributes. */
  add(kind: string, words: string, figures: Record<string, number>): void {
    const item = document.createElement("li");
    const when = document.createElement("time");
    const now = new Date();
    when.dateTime = now.toISOString();
    when.textContent = now.toLocaleTimeString("en", { hour12: false });
    item.append(when, " ", words);
    item.dataset["kind"] = kind;
    for (const [name, figure] of Object.entries(figures)) {
      item.dataset[name] = String(figure);
    }
    this.#list.prepend(item);
    while (this.#list.children.length > MOST) {
      this.#list.lastElementChild?.remove();
    }
  }
}
