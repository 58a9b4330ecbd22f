import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const LICENCES =
  "/*! wirespeed, and in it centrifuge, Copyright (c) Centrifugal Labs and contributors: both under the MIT License */";

// The file that the Python package serves: one ES module with everything in it.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: here("../src/wirespeed/static"),
    emptyOutDir: true,
    lib: { entry: here("src/index.ts"), formats: ["es"], fileName: () => "wirespeed.js" },
    minify: true,
    rollupOptions: { output: { banner: LICENCES } },
  },
  test: { environment: "happy-dom", isolate: false, include: ["test/**/*.test.{ts,tsx}"] },
});
