/** Processor time of other processes of this machine, from /proc. */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc, on every Linux. */
const TICK_US = 10_000;

/** All threads of a process so far, microseconds. @throws the system's error when there is none */
export function cpuUsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
