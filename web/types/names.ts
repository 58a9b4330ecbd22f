/**
 * Names of types. The library for types spells the names that it is given in its own way; these are spelled so already.
 */

/** Names that TypeScript does not accept for a type. The library's names begin with a capital letter, which no keyword does. */
const OTHERWISE = "Schema";

/**
 * Returns a function from names of schemas to names of types: valid identifiers, all different, and the same whatever the
 * order of the schemas is.
 *
 * @param taken - Names that no schema may have.
 */
export function naming(names: readonly string[], taken: readonly string[]): (name: string) => string {
  const used = new Set(taken);
  const known = new Map<string, string>();
  for (const name of [...names].sort()) {
    const identifier = identifierOf(name);
    let free = identifier;
    for (let number = 2; used.has(free); number += 1) {
      free = `${identifier}_${number}`;
    }
    used.add(free);
    known.set(name, free);
  }
  return (name) => known.get(name) ?? OTHERWISE;
}

/** Returns an identifier in CamelCase. */
function identifierOf(name: string): string {
  const words = name.normalize("NFKD").replace(/\p{M}/gu, "").split(/[^A-Za-z0-9]+/).filter(Boolean);
  const camel = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("").replace(/^\d+/, "");
  const spelled = camel.replace(/\d+[a-z]/g, (match) => match.toUpperCase());
  return spelled.charAt(0).toUpperCase() + spelled.slice(1) || OTHERWISE;
}
