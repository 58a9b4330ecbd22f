/** Exit codes of the command, the same as those of the command in Python. */
export const Exit = { Done: 0, Failed: 1, Usage: 2, Unreachable: 3 } as const;

/** Returns the cause of a failure of the file system: `no such file or directory`. */
export function causeOf(error: unknown): string {
  return (error as Error).message.replace(/^[A-Z]+: |, .*$/g, "");
}

/** A problem that the user can solve; its message says what happened, where, and what to do. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    message: string,
    readonly exit: (typeof Exit)[keyof typeof Exit] = Exit.Failed,
  ) {
    super(message);
  }
}
