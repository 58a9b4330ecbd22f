import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  // The page may be served under any path.
  base: "./",
  resolve: { alias: { wirespeed: here("../src/index.ts") } },
  build: {
    outDir: here("../../demo/page"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    rollupOptions: { input: [here("index.html"), here("cluster.html")] },
  },
});
