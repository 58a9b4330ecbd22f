/** A problem that the user can solve; its message says what happened, where, and what to do. */
export class Problem extends Error {
  override readonly name = "Problem";
}
