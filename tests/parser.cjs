// Validates AsyncAPI documents with the official parser: one document per line in, a list of its complaints per line out.
const { createInterface } = require("node:readline");
const { Parser } = require("../web/node_modules/@asyncapi/parser");

const VERSION = "asyncapi-latest-version"; // recommends a newer version of AsyncAPI

async function main() {
  const parser = new Parser();
  for await (const line of createInterface({ input: process.stdin })) {
    const { document, diagnostics } = await parser.parse(line);
    const said = diagnostics
      .filter((each) => each.code !== VERSION)
      .map((each) => `${each.path.join("/")}: ${each.message} (${each.code})`);
    if (document === undefined && said.length === 0) said.push("no document");
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
}

main();
