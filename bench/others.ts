/** How much of the machine goes to processes that are none of a benchmark's: more than a little, and its figures say nothing. */
import { childrenCpuSeconds, cpuSecondsOf, machineCpuSeconds } from './cpu.ts';

/** Up to which share of all processors a machine is quiet. */
export const QUIET_SHARE = 0.1;

/** Starts to count. @returns the share of the machine that processes besides this one and those that it has started, and that still run, have used since */
export function othersClock(): () => number {
  const own = (): number => childrenCpuSeconds() + cpuSecondsOf(process.pid);
  const from = { ...machineCpuSeconds(), ownSeconds: own() };
  return () => {
    const { busySeconds, allSeconds } = machineCpuSeconds();
    const usedSeconds = busySeconds - from.busySeconds - (own() - from.ownSeconds);
    return usedSeconds / Math.max(allSeconds - from.allSeconds, Number.MIN_VALUE);
  };
}
