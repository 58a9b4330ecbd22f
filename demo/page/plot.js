// A line over the last seconds, drawn on a canvas.

const STEPS = [1, 2, 2.5, 5, 10];
const RIGHT = 68;
const BOTTOM = 24;
const TOP = 10;

const dark = matchMedia("(prefers-color-scheme: dark)");

export class Plot {
  #canvas;
  #seconds;
  #format;
  #zero;
  #points = [];
  #low = NaN;
  #high = NaN;
  #paint = null;

  /** `seconds` is how far back it goes, `format` makes words of a value, with `zero` it begins at 0. */
  constructor(canvas, { seconds, format, zero = false }) {
    this.#canvas = canvas;
    this.#seconds = seconds;
    this.#format = format;
    this.#zero = zero;
    dark.addEventListener("change", () => {
      this.#paint = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  add(at, value) {
    this.#points.push([at, value]);
    // One point from before the window stays, so that the line begins at its edge.
    while (this.#points.length > 2 && this.#points[1][0] < at - this.#seconds * 1000) {
      this.#points.shift();
    }
  }

  /** Nothing is known from here to the next point. */
  gap() {
    if (this.#points.length && this.#points.at(-1)[1] !== null) {
      this.#points.push([performance.now(), null]);
    }
  }

  clear() {
    this.#points = [];
    this.#low = this.#high = NaN;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#prepared(width, height);
    const now = performance.now();
    const since = now - this.#seconds * 1000;
    const values = this.#points.filter(([at, value]) => at >= since && value !== null).map(([, value]) => value);
    this.#drawTimes(context, width, height);
    if (values.length) {
      this.#stretch(Math.min(...values), Math.max(...values));
      const x = (at) => ((at - since) / (now - since)) * (width - RIGHT);
      const y = (value) => TOP + (1 - (value - this.#low) / (this.#high - this.#low)) * (height - TOP - BOTTOM);
      this.#drawValues(context, width, y);
      context.save();
      context.beginPath();
      context.rect(0, 0, width, height - BOTTOM + 1);
      context.clip();
      for (const line of this.#lines()) {
        this.#drawLine(context, line, x, y, height - BOTTOM);
      }
      context.restore();
    }
  }

  /** The context, as large as the canvas is on the screen, in its pixels, and empty. */
  #prepared(width, height) {
    const scale = devicePixelRatio;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== across || this.#canvas.height !== down) {
      this.#canvas.width = across;
      this.#canvas.height = down;
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.#paint) {
      const style = getComputedStyle(this.#canvas);
      const font = style.fontFamily;
      const [ink, quiet, line] = ["--wirespeed", "--quiet", "--line"].map((name) => style.getPropertyValue(name));
      this.#paint = { font, ink, quiet, line };
    }
    context.font = `12px ${this.#paint.font}`;
    return context;
  }

  /** The range follows the values: at once where they leave it, gently where it has become too wide. */
  #stretch(least, most) {
    const room = Math.max((most - least) * 0.15, Math.abs(most) * 0.0002, 0.01);
    const low = this.#zero ? 0 : least - room;
    const high = most + room;
    const widen = Number.isNaN(this.#low);
    this.#low = widen || low < this.#low ? low : this.#low + (low - this.#low) * 0.05;
    this.#high = widen || high > this.#high ? high : this.#high + (high - this.#high) * 0.05;
  }

  /** The points between gaps. */
  #lines() {
    const lines = [[]];
    for (const point of this.#points) {
      if (point[1] === null) {
        lines.push([]);
      } else {
        lines.at(-1).push(point);
      }
    }
    return lines.filter((line) => line.length);
  }

  #drawLine(context, line, x, y, bottom) {
    context.beginPath();
    for (const [at, value] of line) {
      context.lineTo(x(at), y(value));
    }
    const last = line.at(-1);
    context.strokeStyle = context.fillStyle = this.#paint.ink;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(x(last[0]), bottom);
    context.lineTo(x(line[0][0]), bottom);
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    if (last === this.#points.at(-1)) {
      context.beginPath();
      context.arc(x(last[0]), y(last[1]), 3.5, 0, 2 * Math.PI);
      context.fill();
    }
  }

  #drawValues(context, width, y) {
    const step = niceStep((this.#high - this.#low) / 3);
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let value = Math.ceil(this.#low / step) * step; value <= this.#high; value += step) {
      context.fillStyle = this.#paint.line;
      context.fillRect(0, Math.round(y(value)), width - RIGHT, 1);
      context.fillStyle = this.#paint.quiet;
      context.fillText(this.#format(value), width, y(value));
    }
  }

  #drawTimes(context, width, height) {
    context.fillStyle = this.#paint.line;
    context.fillRect(0, height - BOTTOM, width - RIGHT, 1);
    context.fillStyle = this.#paint.quiet;
    context.textBaseline = "bottom";
    for (const [share, align] of [[0, "left"], [0.5, "center"], [1, "right"]]) {
      const ago = this.#seconds * (1 - share);
      context.textAlign = align;
      context.fillText(ago ? `${ago} s ago` : "now", share * (width - RIGHT), height);
    }
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return STEPS.find((step) => step * power >= rough) * power;
}
