// Prints what the browser client weighs with gzip, all of it and our own part, and fails where that is too much.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Bytes, with everything in it, and without the SDK. */
const LIMITS = { all: 35_000, own: 6_000 };

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
    console.error(`${part}: ${weights[part]} bytes are more than ${limit}`);
    process.exitCode = 1;
  }
}
