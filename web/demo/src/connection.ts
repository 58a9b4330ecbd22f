// Bare WebSockets to the server of this page, and descriptions of how they end.

/** Returns the WebSocket address of a path. */
export function address(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

const REASONS = new Map([
  [1000, "The server closed the connection."],
  [1001, "The server has stopped."],
  [1006, "The connection was lost: the server stopped, or the network did."],
  [1008, "The server ended the connection"],
  [1009, "The message was too large for the server"],
  [1011, "An error occurred in the server"],
  [1012, "The server is shutting down or restarting."],
  [1013, "The server is overloaded. Try again later."],
]);

/** Describes why an open connection ended. */
export function whyClosed(event: CloseEvent): string {
  const words = REASONS.get(event.code) ?? `The connection was closed with code ${event.code}`;
  const sentence = words.endsWith(".") ? words.slice(0, -1) : words;
  return event.reason ? `${sentence} (${event.reason}).` : `${sentence}.`;
}

/**
 * Opens a WebSocket. Rejects with a readable error if that fails; a browser does not let a page distinguish a server
 * that is not running from one that refuses.
 */
export function open(path: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address(path));
    socket.onopen = () => {
      socket.onclose = null;
      resolve(socket);
    };
    socket.onclose = () => {
      reject(new Error("The server did not accept the connection. Is it running?"));
    };
  });
}

/** Returns the error in a frame, as a sentence; null if the frame holds a value. */
export function errorIn(frame: string): string | null {
  if (!frame.startsWith('{"error"')) {
    return null;
  }
  const { error } = JSON.parse(frame) as { error: { code: number; message: string } };
  return `The server answered with an error: ${error.message} (${error.code}).`;
}
