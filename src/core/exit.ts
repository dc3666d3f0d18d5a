/** Exit codes, as the help text tells them. */
export const exit = { fine: 0, problems: 1, usage: 2, tool: 3, node: 4, bug: 70 } as const;

/** A command line that is wrong: its message is printed, and the exit code is `exit.usage`. */
export class Usage extends Error {
  override readonly name = "Usage";
}

/** Whether an error is one, also of another bundle, whose class is another. */
export function isUsage(error: unknown): error is Usage {
  return error instanceof Error && error.name === "Usage";
}
