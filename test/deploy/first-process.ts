/** The first process of a namespace, as seen from outside of it. */
import { spawnSync } from 'node:child_process';

/** The process that `unshare --fork` with this id has started. */
export function childOf(pid: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return Number(stdout.trim().split(/\s+/)[0]);
}
