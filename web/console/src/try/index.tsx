import type { AsyncApi, Definition } from "../document.js";

/** The panel that connects to a definition and shows what it sends. */
export function TryIt({ definition }: { definition: Definition; document: AsyncApi }) {
  return (
    <p>
      Connect to <code>{definition.path}</code> with the clients of your choice.
    </p>
  );
}
