// Prints the gzipped size of the browser client and of our own part, and fails if one of them is above its limit.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Limits in bytes, with the SDK and without it. Presence, topics and reasons for people are 1,200 bytes of our own. */
const LIMITS = { all: 35_000, own: 7_000 };

async function own() {
  const [{ output }] = await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      target: "es2022",
      lib: { entry: here("src/served.ts"), formats: ["es"] },
      rollupOptions: { external: ["centrifuge"], output: { minify: true } },
    },
  });
  return output[0].code;
}

const weights = {
  all: gzipSync(readFileSync(here("../src/wirespeed/static/wirespeed.js"))).length,
  own: gzipSync(await own()).length,
};
console.log(`gzipped: ${weights.all} bytes with the SDK, ${weights.own} of them our own`);
for (const [part, limit] of Object.entries(LIMITS)) {
  if (weights[part] > limit) {
    console.error(`${part}: ${weights[part]} bytes, but the limit is ${limit}`);
    process.exitCode = 1;
  }
}
