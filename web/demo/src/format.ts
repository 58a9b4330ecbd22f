// Numbers for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export function count(value: number): string {
  return whole.format(value);
}

/** Formats a price: 64,012.50. */
export function money(value: number): string {
  return cents.format(value);
}

/** Formats a change in percent: +0.12 %. */
export function percent(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)} %`;
}

/** Formats seconds like a stopwatch: 840 ms, 1.23 s, 81 s. */
export function seconds(value: number): string {
  if (value < 0.9995) {
    return `${whole.format(value * 1000)} ms`;
  }
  return value < 10 ? `${value.toFixed(2)} s` : `${whole.format(value)} s`;
}

/** Formats short times: 0.41 µs, 11 µs, 1.2 ms. */
export function small(value: number): string {
  const micro = value * 1e6;
  if (micro >= 1000) {
    return `${(micro / 1000).toFixed(1)} ms`;
  }
  return `${micro.toFixed(micro < 10 ? 2 : micro < 100 ? 1 : 0)} µs`;
}

/** Formats a factor: 1.3×, 24×, 1,050×. */
export function times(value: number): string {
  return `${value < 10 ? value.toFixed(1) : whole.format(value)}×`;
}
