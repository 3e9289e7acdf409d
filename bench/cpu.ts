/** CPU time of other processes of this machine, by what Linux says of them. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

/** What Linux says of a process or a thread. */
export interface TaskStat {
  readonly name: string;
  readonly parent: number;
  /** User and system time since it began. */
  readonly cpuSeconds: number;
}

/** @param path in /proc, such as `12` or `12/task/13`. @throws the system's error when there is none */
export function taskStat(path: string | number): TaskStat {
  const text = readFileSync(`/proc/${path}/stat`, 'latin1');
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
  };
}

/** User and system time of a process since it began. @throws when there is no such process */
export const cpuSecondsOf = (pid: number): number => taskStat(pid).cpuSeconds;

/** The same of all processes that this one has started and that run. @throws where there is no /proc */
export function childrenCpuSeconds(): number {
  let seconds = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const { parent, cpuSeconds } = taskStat(name);
      if (parent === process.pid) seconds += cpuSeconds;
    } catch {
      // It has ended meanwhile.
    }
  }
  return seconds;
}

/** What all processors of the machine did since it began. */
export function machineCpuSeconds(): { readonly busySeconds: number; readonly allSeconds: number } {
  // user nice system idle iowait irq softirq steal
  const ticks = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, each) => sum + each, 0);
  return { busySeconds: (all - ticks[3]! - ticks[4]!) / TICKS_PER_SECOND, allSeconds: all / TICKS_PER_SECOND };
}
