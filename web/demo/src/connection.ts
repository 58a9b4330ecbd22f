// Bare WebSockets of the server that this page came from, and what their ends mean, in words.

/** The WebSocket address of a path. */
export function address(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

const REASONS = new Map([
  [1000, "The server closed the connection."],
  [1001, "The server went away."],
  [1006, "The connection was lost: the server stopped, or the network did."],
  [1008, "The server refused to go on"],
  [1009, "The message was too big for the server"],
  [1011, "The server met an error"],
  [1012, "The server is shutting down or restarting."],
  [1013, "The server has too much to do. Try again later."],
]);

/** Why an open connection ended. */
export function whyClosed(event: CloseEvent): string {
  const words = REASONS.get(event.code) ?? `The connection was closed with code ${event.code}`;
  const sentence = words.endsWith(".") ? words.slice(0, -1) : words;
  return event.reason ? `${sentence} (${event.reason}).` : `${sentence}.`;
}

/**
 * An open WebSocket. Rejects with an error in words if the server does not accept it; a browser does not tell
 * a page whether nobody was there or somebody said no.
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

/** The error that a frame carries, in words, or null if it carries a value. */
export function errorIn(frame: string): string | null {
  if (!frame.startsWith('{"error"')) {
    return null;
  }
  const { error } = JSON.parse(frame) as { error: { code: number; message: string } };
  return `The server answered with an error: ${error.message} (${error.code}).`;
}
