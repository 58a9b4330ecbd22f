import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { notices } from "./licences.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Builds the file that the Python package serves: one ES module with everything in it.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: here("../src/wirespeed/static"),
    // The console's files are in a folder of their own in there.
    emptyOutDir: false,
    lib: { entry: here("src/served.ts"), formats: ["es"], fileName: () => "wirespeed.js" },
    rollupOptions: { output: { minify: true, postBanner: notices("wirespeed", "centrifuge", "events") } },
  },
  // In tests, packages are those for browsers.
  ...(process.env["VITEST"] && { resolve: { conditions: ["browser"] } }),
  // Only a test that hangs reaches this timeout, however slow the machine is.
  test: { environment: "happy-dom", isolate: false, include: ["test/**/*.test.{ts,tsx}"], testTimeout: 60_000 },
});
