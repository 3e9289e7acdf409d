/**
 * Programs that tests borrow from the machine. Without one, its tests are skipped and say where to get it; in CI all of them have to be
 * there, because a test that cannot compare proves nothing.
 */
import { spawnSync } from 'node:child_process';

/** The program, and the Debian package that has it. */
const PACKAGES = {
  bash: 'bash',
  openssl: 'openssl',
  'redis-benchmark': 'redis-tools',
  'redis-server': 'redis-server',
} as const;

/** A program that some test needs. */
export type BorrowedProgram = keyof typeof PACKAGES;

const VERSION_ARGUMENT: Partial<Record<BorrowedProgram, string>> = { openssl: 'version' };

/**
 * The value of a test's `skip`: false when the program is there, else what is missing and how to get it.
 * @throws Error in CI, when it is missing
 */
export function skipWithout(program: BorrowedProgram): string | false {
  if (spawnSync(program, [VERSION_ARGUMENT[program] ?? '--version']).status === 0) return false;
  const reason = `${program} is not installed (Debian: apt-get install ${PACKAGES[program]})`;
  if (process.env.CI !== undefined) throw new Error(`${reason}, and CI needs it`);
  return reason;
}
