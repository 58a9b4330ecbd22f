/**
 * The licences of the packages that a bundle is made of, which require to be copied with them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Licences of code that packages have copied into their own files, beside their own. */
const MORE = /^(LICEN[CS]E|THIRD-PARTY-NOTICES)(\.\w+)?$/i;

/** Returns a plugin that adds the licences of all packages in a bundle to it, as a comment. */
export function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === "chunk") {
          chunk.code += `/*!\n${textOf(Object.keys(chunk.modules)).replaceAll("*/", "* /")}\n*/\n`;
        }
      }
    },
  };
}

function textOf(modules: readonly string[]): string {
  const folders = new Set(modules.flatMap((each) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(each)?.[0] ?? []));
  return [...folders].sort().map(licenceOf).join("\n\n");
}

function licenceOf(folder: string): string {
  const files = readdirSync(folder).filter((each) => MORE.test(each));
  if (files.length === 0) {
    throw new Error(`${folder} has no licence`);
  }
  const texts = files.sort().map((each) => readFileSync(join(folder, each), "utf8").trim());
  return [folder.replace(/^.*\/node_modules\//, ""), ...texts].join("\n\n");
}
