// Numbers and times for people.

const WHOLE = new Intl.NumberFormat("en");

/** Returns a whole number with separators: `12,345`. */
export function count(value: number): string {
  return WHOLE.format(Math.round(value));
}

/** Returns a count and its noun: `1 frame`, `2 frames`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Returns a size: `17 B`, `1.2 kB`, `3.4 MB`. */
export function size(bytes: number): string {
  if (bytes < 1000) {
    return `${bytes} B`;
  }
  const [value, unit] = bytes < 999_500 ? [bytes / 1000, "kB"] : bytes < 999.5e6 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** Returns a time of day with milliseconds: `14:03:07.250`. */
export function timeOf(at: number): string {
  const time = new Date(at);
  const two = (part: number): string => String(part).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** Returns a number with at most seven digits. */
export function number(value: number): string {
  return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(7)));
}
