/** What the program ends with; scripts branch on these. */
export const ExitCode = {
  Ok: 0,
  /** The cluster refused or failed. */
  Failed: 1,
  /** The command line was wrong, or `--yes` is missing. */
  Usage: 2,
  /** No endpoint answered. */
  Unreachable: 3,
} as const;
