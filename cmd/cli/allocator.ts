/**
 * How memory is allocated in a node. The C library's allocator is told by the environment, and V8 by flags: both read them before anything else
 * runs. By itself the allocator keeps an area of its own for every thread, and learns from large buffers to keep memory that was freed: after an
 * hour of values of all sizes a node held gigabytes of which it used a tenth.
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

/**
 * What V8 is told. By itself it lets 64 MiB of young objects come together: by the time that a place is written to again nothing of it is left in any
 * cache of the processor. With less than 8 MiB too many objects are copied that would have died soon.
 */
const YOUNG_OBJECTS = '--max-semi-space-size=16';
const SAYS_YOUNG_OBJECTS = /--(min|max)[-_]semi[-_]space[-_]size/;

/** Flags of Node.js for a node's process, beside those that it has. @param given flags and NODE_OPTIONS: whoever sets one of them means it */
export const nodeFlags = (given: readonly string[]): readonly string[] =>
  given.some((flag) => SAYS_YOUNG_OBJECTS.test(flag)) ? [] : [YOUNG_OBJECTS];

/** The environment for a node's process. */
export const nodeEnvironment = (environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...ALLOCATOR,
  ...environment,
});

/**
 * Begins the process anew when it was started without that environment and those flags: the same process, with its id, its arguments and its
 * files, before anything was opened. Returns when there is nothing to do, or where this cannot be done.
 */
export function restartWithAllocator(): void {
  const { execArgv, env } = process;
  const flags = nodeFlags([...execArgv, env.NODE_OPTIONS ?? '']);
  const isTold = flags.length === 0 && Object.keys(ALLOCATOR).every((name) => env[name] !== undefined);
  // A process that talks to the one that started it would lose what was said already.
  if (isTold || process.platform !== 'linux' || process.execve === undefined || process.connected) return;
  const [, ...args] = process.argv;
  process.execve(process.execPath, [process.execPath, ...flags, ...execArgv, ...args], nodeEnvironment(env));
}
