import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { licences } from "./licences.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Builds the command `wirespeed types`: one file for Node.js with everything in it.
export default defineConfig({
  plugins: [licences()],
  ssr: { noExternal: true },
  resolve: { alias: [{ find: /^prettier$/, replacement: here("nothing.ts") }] },
  build: {
    target: "node20",
    ssr: here("main.ts"),
    outDir: here("../../src/wirespeed/static"),
    emptyOutDir: false,
    rollupOptions: {
      // Packages that know CommonJS assign to `module`, if there is one.
      onLog: (level, log, handle) => log.code !== "COMMONJS_VARIABLE_IN_ESM" && handle(level, log),
      output: { minify: true, codeSplitting: false, entryFileNames: "types.mjs", banner: "#!/usr/bin/env node" },
    },
  },
});
