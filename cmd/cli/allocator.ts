/**
 * How the C library's allocator behaves in a node: it is told by the environment, and reads it before anything else runs. By itself it keeps an
 * area of its own for every thread, and learns from large buffers to keep memory that was freed: after an hour of values of all
 * sizes a node held gigabytes of which it used a tenth.
 */

/** What glibc is told; other C libraries take no notice. Whoever sets one of them means it. */
const ALLOCATOR: Readonly<Record<string, string>> = {
  /** Areas that threads share: few threads allocate at the same time. */
  MALLOC_ARENA_MAX: '2',
  /** What is larger has pages of its own and gives them back at once. Said, it does not grow with what was freed. */
  MALLOC_MMAP_THRESHOLD_: String(1024 ** 2),
  /** Free memory at the end of an area that is kept. */
  MALLOC_TRIM_THRESHOLD_: String(1024 ** 2),
};

/** The environment for a node's process. */
export const nodeEnvironment = (environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...ALLOCATOR,
  ...environment,
});

/**
 * Begins the process anew when it was started without that environment: the same process, with its id, its arguments and its
 * files, before anything was opened. Returns when there is nothing to do, or where this cannot be done.
 */
export function restartWithAllocator(): void {
  const isTold = Object.keys(ALLOCATOR).every((name) => process.env[name] !== undefined);
  // A process that talks to the one that started it would lose what was said already.
  if (isTold || process.platform !== 'linux' || process.execve === undefined || process.connected) return;
  const [, ...args] = process.argv;
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...args], nodeEnvironment(process.env));
}
