const QUESTIONS = 5;

/** An estimate of the server's clock. */
export class ServerClock {
  #ahead = 0;

  /** Returns the server's time in seconds since 1970. */
  now(): number {
    return this.#here() + this.#ahead;
  }

  /** Requests the time a few times; the quickest answer is the most accurate. */
  async set(): Promise<void> {
    let quickest = Infinity;
    for (let question = 0; question < QUESTIONS; question += 1) {
      const asked = this.#here();
      const answer = await fetch("/clock", { cache: "no-store" });
      const time = Number(await answer.text());
      if (!answer.ok || Number.isNaN(time)) {
        throw new Error("The server did not return its time.");
      }
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
