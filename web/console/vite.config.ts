import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { notices } from "../licences.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// The page is served at /live/ and its files at /live/console/, under any prefix. Its content security policy allows
// only files of its own server, so nothing is inlined.
export default defineConfig({
  root: here("."),
  base: "./",
  experimental: { renderBuiltUrl: (name, { hostType }) => (hostType === "html" ? `./console/${name}` : { relative: true }) },
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "[name].js" } } },
  build: {
    outDir: here("../../src/wirespeed/static/console"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      input: here("index.html"),
      output: {
        entryFileNames: "console.js",
        assetFileNames: ({ names }) => (names.some((name) => name.endsWith(".css")) ? "console.css" : "[name][extname]"),
        codeSplitting: false,
        postBanner: notices("wirespeed", "preact", "uplot", "centrifuge", "events"),
      },
    },
  },
});
