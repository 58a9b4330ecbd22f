// Builds the page with components for the tests; its packages are those of the client's folder.

import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const web = (path) => here(`../../../web/${path}`);

export default {
  root: here("."),
  logLevel: "warn",
  publicDir: false,
  define: { "process.env.NODE_ENV": '"development"' },
  resolve: {
    alias: [
      { find: /^wirespeed$/, replacement: web("src/index.ts") },
      { find: /^wirespeed\/react$/, replacement: web("src/react.ts") },
      { find: /^react$/, replacement: web("node_modules/react/index.js") },
      { find: /^react-dom\/client$/, replacement: web("node_modules/react-dom/client.js") },
    ],
  },
  build: { minify: false, lib: { entry: here("react.mjs"), formats: ["es"], fileName: () => "react.js" } },
};
