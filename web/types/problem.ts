/** Exit codes of the command, the same as those of the command in Python. */
export const Exit = { Done: 0, Failed: 1, Usage: 2, Unreachable: 3 } as const;

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
