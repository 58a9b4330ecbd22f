// Lines that grow: values received over time, one line a lane, all from the same zero.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = 1000;
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

export class Chart {
  #plot;
  #top;
  #span = 0;
  #points = new Map();

  constructor(figure, top) {
    this.#plot = figure.querySelector(".plot");
    this.#top = top;
    this.clear();
  }

  clear() {
    this.#points.clear();
    for (const line of this.#plot.querySelectorAll("polyline")) {
      line.setAttribute("points", "");
    }
    this.#stretch(1);
  }

  add(lane, seconds, values) {
    const points = this.#points.get(lane) ?? [[0, 0]];
    points.push([seconds, values]);
    this.#points.set(lane, points);
    if (seconds > this.#span) {
      this.#stretch(seconds * 1.15);
      for (const name of this.#points.keys()) {
        this.#draw(name);
      }
    } else {
      this.#draw(lane);
    }
  }

  #x(seconds) {
    return (seconds / this.#span) * SIZE;
  }

  #y(values) {
    return SIZE - (values / this.#top) * SIZE;
  }

  #draw(lane) {
    const points = this.#points.get(lane).map(([x, y]) => `${this.#x(x).toFixed(1)},${this.#y(y).toFixed(1)}`);
    this.#plot.querySelector(`polyline[data-lane="${lane}"]`).setAttribute("points", points.join(" "));
  }

  #stretch(span) {
    this.#span = span;
    const step = STEPS.find((size) => span / size <= 6) ?? span;
    const grid = this.#plot.querySelector(".grid");
    const ticks = this.#plot.querySelector(".ticks");
    grid.replaceChildren();
    ticks.replaceChildren();
    for (let at = 0; at <= span; at += step) {
      grid.append(rule(this.#x(at), 0, this.#x(at), SIZE));
      ticks.append(tick("x", this.#x(at) / 10, `${Number(at.toFixed(2))} s`));
    }
    for (const share of [0, 0.5, 1]) {
      const values = this.#top * share;
      grid.append(rule(0, this.#y(values), SIZE, this.#y(values)));
      ticks.append(tick("y", this.#y(values) / 10, values.toLocaleString("en")));
    }
  }
}

function rule(x1, y1, x2, y2) {
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) {
    line.setAttribute(name, value);
  }
  return line;
}

function tick(axis, percent, words) {
  const label = document.createElement("span");
  label.className = axis;
  label.style.setProperty(axis === "x" ? "left" : "top", `${percent}%`);
  label.textContent = words;
  return label;
}
