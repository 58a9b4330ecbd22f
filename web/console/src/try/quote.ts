/** Texts and values as literals of other languages. Every value may be hostile. */

/** Returns a text as one word of a POSIX shell. */
export function shell(text: string): string {
  const clean = text.replaceAll("\0", "");
  return /^[\w@%+=:,./-]+$/.test(clean) ? clean : `'${clean.replaceAll("'", "'\\''")}'`;
}

/** Returns a value of JSON as JavaScript, which may stand in a script of a page. */
export function javascript(value: unknown, indent = ""): string {
  const text = compact(value) ? JSON.stringify(value) : JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`);
  // The end of a script element, and comments of HTML, would count within a string, too.
  return text.replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}

/** Returns a value of JSON as Python, over several lines if it is long. */
export function python(value: unknown, indent = ""): string {
  const further = `${indent}    `;
  const around = (open: string, parts: readonly string[], close: string): string =>
    compact(value)
      ? open + parts.join(", ") + close
      : `${open}\n${parts.map((each) => `${further}${each},\n`).join("")}${indent}${close}`;
  if (Array.isArray(value)) {
    return around(
      "[",
      value.map((each) => python(each, further)),
      "]",
    );
  }
  if (value instanceof Uint8Array) {
    return `bytes.fromhex("${Array.from(value, (each) => each.toString(16).padStart(2, "0")).join("")}")`;
  }
  switch (typeof value) {
    case "boolean":
      return value ? "True" : "False";
    case "string":
      return pythonText(value);
    case "number":
      return JSON.stringify(value);
    case "object":
      return value === null
        ? "None"
        : around(
            "{",
            Object.entries(value).map(([name, each]) => `${pythonText(name)}: ${python(each, further)}`),
            "}",
          );
    default:
      return "None";
  }
}

/** Returns a text as a string literal of Python: that of JSON, with escapes for what could confuse a terminal. */
export function pythonText(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Returns true if a value is better written on one line. */
function compact(value: unknown): boolean {
  return JSON.stringify(value).length < 60;
}

/** Returns JSON, over several lines if it is long. */
export function json(value: unknown): string {
  return compact(value) ? JSON.stringify(value) : JSON.stringify(value, null, 2);
}
