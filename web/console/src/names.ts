// Names of processes. Their own names are random, so people see the process id, and the host if there are several.

import type { Process } from "./data.js";

const labels = new Map<string, string>();

/** Learns the names of the processes of an overview. */
export function learn(processes: readonly Process[]): void {
  const isOneHost = new Set(processes.map(({ host }) => host)).size <= 1;
  for (const { name, host, pid } of processes) {
    labels.set(name, pid === 0 ? name.slice(0, 8) : isOneHost ? `pid ${pid}` : `${host} ${pid}`);
  }
}

/** Returns processes in an order that does not depend on which of them answers. */
export function ordered(processes: readonly Process[]): Process[] {
  return [...processes].sort((a, b) => a.host.localeCompare(b.host, "en") || a.pid - b.pid);
}

/** Returns what people call a process; the beginning of its own name as long as nothing else is known. */
export function labelOf(process: string): string {
  return labels.get(process) ?? process.slice(0, 8);
}
