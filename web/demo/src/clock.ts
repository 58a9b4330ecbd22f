const QUESTIONS = 5;

/** The server's clock, as far as a page can know it. */
export class ServerClock {
  #ahead = 0;

  /** The server's time in seconds since 1970. */
  now(): number {
    return this.#here() + this.#ahead;
  }

  /** Asks for the time a few times; the quickest answer is the one that says most. */
  async set(): Promise<void> {
    let quickest = Infinity;
    for (let question = 0; question < QUESTIONS; question += 1) {
      const asked = this.#here();
      const time = Number(await (await fetch("/clock", { cache: "no-store" })).text());
      const took = this.#here() - asked;
      if (took < quickest) {
        quickest = took;
        this.#ahead = time - (asked + took / 2);
      }
    }
  }

  #here(): number {
    return (performance.timeOrigin + performance.now()) / 1000;
  }
}
