/**
 * Programs that tests borrow from the machine. Without one, its tests are skipped and say where to get it; in CI nearly all of them have to be
 * there, because a test that cannot compare proves nothing.
 */
import { spawnSync } from 'node:child_process';

/** The program, and the Debian package that has it. */
const PACKAGES = {
  awscli: 'awscli',
  bash: 'bash',
  boto3: 'python3-boto3',
  curl: 'curl',
  'dpkg-deb': 'dpkg',
  openssl: 'openssl',
  'redis-benchmark': 'redis-tools',
  'redis-cli': 'redis-tools',
  'redis-py': 'python3-redis',
  'redis-server': 'redis-server',
  'systemd-analyze': 'systemd',
} as const;

/** Those that are as large as everything else together: CI does without. */
const OPTIONAL: readonly string[] = ['awscli', 'boto3'];

/** A program that some test needs. */
export type BorrowedProgram = keyof typeof PACKAGES;

/** The Python that sees Debian's packages, whichever is first in the path. */
export const DEBIAN_PYTHON = '/usr/bin/python3';

/** How a program is asked whether it is there; by default by its name with `--version`. */
const PROOFS: Partial<Record<BorrowedProgram, readonly [string, ...string[]]>> = {
  awscli: ['aws', '--version'],
  boto3: ['python3', '-c', 'import boto3'],
  openssl: ['openssl', 'version'],
  'redis-py': [DEBIAN_PYTHON, '-c', 'import redis'],
};

/**
 * The value of a test's `skip`: false when the program is there, else what is missing and how to get it.
 * @throws Error in CI, when it is missing
 */
export function skipWithout(program: BorrowedProgram): string | false {
  const [file, ...args] = PROOFS[program] ?? [program, '--version'];
  if (spawnSync(file, args).status === 0) return false;
  const reason = `${program} is not installed (Debian: apt-get install ${PACKAGES[program]})`;
  if (process.env.CI !== undefined && !OPTIONAL.includes(program)) throw new Error(`${reason}, and CI needs it`);
  return reason;
}
