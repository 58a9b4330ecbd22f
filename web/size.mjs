// Prints the gzipped sizes of what was built, the browser client or the console, and fails if one is above its limit.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const weightOf = (file) => gzipSync(readFileSync(here(`../src/wirespeed/static/${file}`))).length;

/** Weights and limits in bytes. In the client, presence, topics and reasons for people are 1,200 bytes of our own. */
const PARTS = {
  client: async () => [
    ["client with the SDK", weightOf("wirespeed.js"), 35_000],
    ["our own part of it", gzipSync(await own()).length, 7_000],
  ],
  console: () => [["console", weightOf("console/console.js") + weightOf("console/console.css"), 100_000]],
};

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

for (const [part, weight, limit] of await PARTS[process.argv[2]]()) {
  console.log(`${part}: ${weight} bytes gzipped`);
  if (weight > limit) {
    console.error(`${part}: ${weight} bytes, but the limit is ${limit}`);
    process.exitCode = 1;
  }
}
