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
  /** The same of what it has started and waited for to the end, and of what that had waited for. */
  readonly endedSeconds: number;
}

/** @param path in /proc, such as `12` or `12/task/13`. @throws the system's error when there is none */
export function taskStat(path: string | number): TaskStat {
  const text = readFileSync(`/proc/${path}/stat`, 'latin1');
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  const seconds = (first: number): number => (Number(fields[first]) + Number(fields[first + 1])) / TICKS_PER_SECOND;
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    parent: Number(fields[1]),
    cpuSeconds: seconds(11),
    endedSeconds: seconds(13),
  };
}

/** User and system time of a process since it began. @throws when there is no such process */
export const cpuSecondsOf = (pid: number): number => taskStat(pid).cpuSeconds;

/** User and system time of this process and of all that it has started, directly or not, those included that have ended. @throws where there is no /proc */
export function treeCpuSeconds(): number {
  const running = new Map<number, TaskStat>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      running.set(Number(name), taskStat(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  let seconds = 0;
  for (const [pid, { cpuSeconds, endedSeconds }] of running) {
    let ancestor: number | undefined = pid;
    while (ancestor !== undefined && ancestor !== process.pid) ancestor = running.get(ancestor)?.parent;
    if (ancestor !== undefined) seconds += cpuSeconds + endedSeconds;
  }
  return seconds;
}

/**
 * What all processors of the machine did since it began. Busy is what programs took, on this machine or, where it is a virtual one, on its host; not
 * what the kernel took to serve interrupts, which no program is charged for.
 */
export function machineCpuSeconds(): { readonly busySeconds: number; readonly allSeconds: number } {
  // user nice system idle iowait irq softirq steal
  const ticks = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.split(/\s+/).slice(1, 9).map(Number);
  const [user, nice, system, , , , , steal] = ticks as [number, number, number, number, number, number, number, number];
  const all = ticks.reduce((sum, each) => sum + each, 0);
  return { busySeconds: (user + nice + system + steal) / TICKS_PER_SECOND, allSeconds: all / TICKS_PER_SECOND };
}
