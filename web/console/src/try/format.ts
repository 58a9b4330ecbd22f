// Times and numbers for people, beside those of the whole console.

import { count } from "../format.js";

/** Returns a time of day with milliseconds: `14:03:07.250`. */
export function timeOf(at: number): string {
  const time = new Date(at);
  const two = (part: number): string => String(part).padStart(2, "0");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${clock}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** Returns a number with at most seven digits. */
export function number(value: number): string {
  return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(7)));
}
