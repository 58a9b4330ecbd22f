// Numbers for people. All have a fixed form, so that a figure that changes does not move its neighbours.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Stands for a figure that is not known. */
export const UNKNOWN = "–";

export function count(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? UNKNOWN : whole.format(value);
}

/** Formats a rate per second, with one decimal below 10. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return UNKNOWN;
  }
  return value < 9.95 ? (value === 0 ? "0" : value.toFixed(1)) : whole.format(value);
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Formats bytes: 812 B, 1.4 kB, 23 MB. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return UNKNOWN;
  }
  let size = value;
  let unit = 0;
  while (size >= 999.5 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit > 0 && size < 99.5 ? size.toFixed(1) : whole.format(size)} ${UNITS[unit]}`;
}

/** Formats a span in seconds: 0.4 ms, 12 ms, 3.2 s, 4 min, 2 h 5 min, 3 d 4 h. */
export function span(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return UNKNOWN;
  }
  const seconds = Math.max(value, 0);
  if (seconds < 0.9995) {
    const milli = seconds * 1000;
    return `${milli === 0 || milli >= 9.95 ? whole.format(milli) : milli.toFixed(1)} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  return long(Math.round(seconds));
}

/** Formats a span that is at least a second, in whole seconds: 3 s, 4 min, 2 h 5 min. */
export function age(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return UNKNOWN;
  }
  const seconds = Math.max(Math.floor(value), 0);
  return seconds < 60 ? `${seconds} s` : long(seconds);
}

function long(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Formats a share of a core: 4 %, 112 %. */
export function share(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? UNKNOWN : `${whole.format(value * 100)} %`;
}

/** Formats the time of day of seconds since 1970: 14:03:07. */
export function clock(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en-GB");
}

/** Returns "1 watcher" or "3 watchers". */
export function plural(value: number, word: string, many = `${word}s`): string {
  return `${count(value)} ${value === 1 ? word : many}`;
}
