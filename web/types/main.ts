/**
 * The command `wirespeed types`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { type Document, documentIn } from "./document.ts";
import { generate } from "./generate.ts";
import { causeOf, Exit, Problem } from "./problem.ts";
import { read } from "./read.ts";

const HELP = `Usage: wirespeed types SOURCE [-o FILE] [--check]

Generate the TypeScript types of an app: its paths with their parameters, values, messages and errors.

  SOURCE                 URL of the app's AsyncAPI document, such as http://localhost:8000/live/asyncapi.json;
                         or of the server alone; or a file; or - for the standard input
  -o, --output FILE      file to write; by default, the types are printed
  --check                write nothing; exit with 1 if FILE is not up to date
  -H, --header HEADER    header of the request, such as "Authorization: Bearer ..."; may be repeated
  --json                 the document, and no types
  --from NAME            name of the source in messages
  -h, --help             show this text

  import { connect } from "wirespeed";
  import type { Paths } from "./live";

  const live = connect<Paths>();

Exit codes: 0 done, 1 FILE is not up to date, or the source is not a document, 2 wrong usage, 3 no server.
`;

const OPTIONS = {
  output: { type: "string", short: "o" },
  check: { type: "boolean" },
  header: { type: "string", short: "H", multiple: true },
  json: { type: "boolean" },
  from: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** Runs the command, and returns its exit code. */
async function main(args: string[]): Promise<number> {
  const { values, positionals } = parsed(args);
  if (values.help || args.length === 0) {
    process.stdout.write(HELP);
    return Exit.Done;
  }
  const [command, source, ...others] = positionals;
  if (command !== "types" || source === undefined || others.length > 0) {
    throw new Problem(command === "types" ? "Give one source: a URL, a file, or -." : `There is no command ${command ?? ""}; write wirespeed types SOURCE.`, Exit.Usage);
  }
  if (values.check && values.output === undefined) {
    throw new Problem("--check needs the file that it checks: -o FILE.", Exit.Usage);
  }
  const { text, name } = await read(source, headersOf(values.header ?? []));
  const document = documentIn(text, values.from ?? name);
  const types = values.json ? `${JSON.stringify(document, undefined, 2)}\n` : await typesOf(document, values.from ?? name);
  if (values.output === undefined) {
    process.stdout.write(types);
    return Exit.Done;
  }
  return values.check ? check(values.output, types, values.from ?? source) : write(values.output, types);
}

/** Returns the types of a document. The library for types and a document of another program may not go together. */
async function typesOf(document: Document, where: string): Promise<string> {
  const { text, left } = await generate(document).catch((error: unknown) => {
    throw new Problem(`${where} cannot be turned into types: ${String(error)}. Check it with an AsyncAPI validator.`);
  });
  if (left.length > 0) {
    process.stderr.write(`Left out, because they are bytes, which the browser client does not carry: ${left.join(", ")}\n`);
  }
  return text;
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Problem(`${(error as Error).message.replace(/\.? To specify .*/s, "")}. See wirespeed types --help.`, Exit.Usage);
  }
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const pairs = lines.map((line) => {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new Problem(`${JSON.stringify(line)} is not a header; write one like "Authorization: Bearer ...".`, Exit.Usage);
    }
    return [name, value];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** Writes a file, unless it is the same already: tools that watch it would do their work again. */
async function write(file: string, types: string): Promise<number> {
  if ((await contentOf(file)) !== types) {
    try {
      await writeFile(file, types);
    } catch (error) {
      throw new Problem(`${file} cannot be written: ${causeOf(error)}.`);
    }
  }
  return Exit.Done;
}

async function check(file: string, types: string, source: string): Promise<number> {
  const content = await contentOf(file);
  const found = content?.replaceAll("\r\n", "\n");
  if (found === types) {
    return Exit.Done;
  }
  const difference = found === undefined ? "It does not exist." : firstDifference(found, types);
  process.stderr.write(`${file} is not up to date with ${source}. ${difference}\nTo update it: wirespeed types ${source} -o ${file}\n`);
  return Exit.Failed;
}

async function contentOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return undefined;
  }
}

function firstDifference(found: string, types: string): string {
  const [before, after] = [found.split("\n"), types.split("\n")];
  const at = after.findIndex((line, number) => line !== before[number]);
  const line = at < 0 ? after.length : at;
  const show = (sign: string, text: string | undefined): string => (text === undefined ? "" : `\n${sign} ${text}`);
  return `The first difference is in line ${line + 1}:${show("-", before[line])}${show("+", after[line])}`;
}

delete process.env["VERBOSE"]; // with it, the library for types prints all of its steps
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Problem)) {
    throw error;
  }
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.exit;
}
