/** What the process of a node ends with that has no place in its cluster. Any other failure is 1, a wrong setting 2. */
export const EXIT_CODES = {
  /** Its data folder was removed from the cluster. */
  NODE_REMOVED: 3,
  /** The others know it with another data folder. */
  NODE_CHANGED: 4,
  /** Two processes run with copies of its data folder. */
  NODE_RUNS_TWICE: 5,
  /** The cluster has switched on what its program cannot do: it is older than it may be. */
  NODE_LACKS_FEATURE: 6,
} as const;

/** True for the end of a node that starting again does not help. */
export const isEndForGood = (code: number | null): boolean => Object.values<number | null>(EXIT_CODES).includes(code);
