/**
 * The layout of generated types: indentation, semicolons and short comments.
 *
 * The library for types would use Prettier, which is four times the size of everything else in the command. Its text
 * without a layout has one property per line, so a few rules are enough.
 */

const WIDTH = 100;

/**
 * Lays out declarations as the library writes them, in the order of their names.
 *
 * @param first - Name of the declaration that comes first.
 */
export function layout(code: string, first: string): string {
  const declarations = declarationsIn(code);
  const names = [...declarations.keys()].filter((name) => name !== first).sort();
  return [first, ...names].map((name) => `${laidOut(declarations.get(name) ?? []).join("\n")}\n`).join("\n");
}

/** Returns the lines of each declaration, with its comment, by its name. */
function declarationsIn(code: string): Map<string, string[]> {
  const declarations = new Map<string, string[]>();
  let lines: string[] = [];
  let comment: string[] = [];
  for (const line of shortened(code).split("\n")) {
    if (line.startsWith("/**") || (comment.length > 0 && !comment.at(-1)?.endsWith("*/"))) {
      comment.push(line);
    } else if (line !== "") {
      const name = /^export (?:interface|type) (\w+)/.exec(line)?.[1];
      lines = name === undefined ? lines : [];
      lines.push(...comment, line);
      comment = [];
      declarations.set(name ?? "", lines);
    }
  }
  declarations.delete("");
  return declarations;
}

/** Returns the code with comments of one short line written in one. */
function shortened(code: string): string {
  return code.replace(/^\/\*\*\n \* (.*)\n \*\/$/gm, (all, text: string) => (text.length < WIDTH - 20 ? `/** ${text} */` : all));
}

/** Lays out the lines of one declaration. Names that are numbers, such as the status of an error, need no quotes. */
function laidOut(lines: readonly string[]): string[] {
  const isType = lines.some((line) => line.startsWith("export type "));
  let depth = 0;
  return lines.flatMap((line) => {
    if (/^(\/\*\*| \*)/.test(line)) {
      return [indented(depth, line.trimEnd())];
    }
    depth -= line.startsWith("}") ? 1 : 0;
    const opens = line.endsWith("{");
    const text = unwrapped(line.replace(/^"(0|[1-9]\d*)":/, "$1:")) + (!opens && (depth > 0 || isType) ? ";" : "");
    depth += opens ? 1 : 0;
    return broken(depth - (opens ? 1 : 0), text);
  });
}

function indented(depth: number, text: string): string {
  return "  ".repeat(depth) + text;
}

/** Returns a line without the parentheses around its whole type: the library writes them around each union. */
function unwrapped(line: string): string {
  return line.replace(/^((?:"(?:[^"\\]|\\.)*"|\[k: string\]|[\w$]+|export type \w+)\??(?::| =) )\((.*)\)$/, "$1$2");
}

const STRINGS = /"(?:[^"\\]|\\.)*"/g;

/** Returns a line, or several if it is the union of too many types for one. */
function broken(depth: number, line: string): string[] {
  const found = /^((?:"(?:[^"\\]|\\.)*"|[\w$]+|export type \w+)\??(?::| =)) (.*);$/.exec(line);
  const members = found === null || depth * 2 + line.length <= WIDTH ? [] : membersOf(found[2] as string);
  if (members.length < 2) {
    return [indented(depth, line)];
  }
  const rows = members.map((member) => indented(depth + 1, `| ${member}`));
  return [indented(depth, found?.[1] as string), ...rows.slice(0, -1), `${rows.at(-1)};`];
}

/** Returns the members of a union. */
function membersOf(type: string): string[] {
  const plain = type.replace(STRINGS, (text) => "_".repeat(text.length));
  if (/[{}]/.test(plain)) {
    return [];
  }
  const members: string[] = [];
  let open = 0;
  let from = 0;
  for (let at = 0; at < plain.length; at += 1) {
    const sign = plain.charAt(at);
    open += "([".includes(sign) ? 1 : ")]".includes(sign) ? -1 : 0;
    if (sign === "|" && open === 0) {
      members.push(type.slice(from, at).trim());
      from = at + 1;
    }
  }
  return [...members, type.slice(from).trim()];
}
