/** Processor time a command, by what the processes of a system are for and by thread, as every benchmark measures and shows it. */
import { type Align, formatTable } from '../cmd/cli/table.ts';
import { rangeOf } from './spread.ts';
import { meanTimes, sumOf, THREAD_KINDS, type ThreadTimes, threadClock, timesBetween } from './thread-cpu.ts';

/** Processes of a system that do the same. */
export interface Processes {
  /** Such as `leader`. */
  readonly role: string;
  readonly pids: readonly number[];
}

/** Of a benchmark without a cluster. */
export const THIS_PROCESS: readonly Processes[] = [{ role: 'process', pids: [process.pid] }];

/** Of each role the mean of its processes, microseconds a command. */
export type RoleTimes = Readonly<Record<string, ThreadTimes>>;

/**
 * Runs a load and counts what it costs. What a system does later, such as sorting its files, is not in it.
 * @param load tells how many commands there were; where it does not, nothing is counted
 */
export async function withRoleTimes<T extends { readonly commands?: number | undefined }>(
  processes: readonly Processes[],
  load: () => Promise<T>,
): Promise<{ readonly figures: T; readonly cpu: RoleTimes }> {
  const before = processes.map(({ pids }) => pids.map(threadClock));
  const figures = await load();
  const { commands } = figures;
  if (commands === undefined) return { figures, cpu: {} };
  const times = processes.map(({ role, pids }, at): [string, ThreadTimes] => {
    const each = pids.map((pid, place) => timesBetween(before[at]![place]!, threadClock(pid), commands));
    return [role, meanTimes(each)];
  });
  return { figures, cpu: Object.fromEntries(times) };
}

/** Of all processes of a system together, microseconds a command. */
export const totalUs = (processes: readonly Processes[], cpu: RoleTimes): number =>
  processes.reduce((sum, { role, pids }) => sum + (cpu[role] === undefined ? 0 : sumOf(cpu[role]) * pids.length), 0);

/** One load on one system, round by round. */
export interface CpuLine {
  readonly load: string;
  readonly system: string;
  readonly rounds: readonly RoleTimes[];
}

const ALIGNS: readonly Align[] = ['left', 'left', 'left', ...THREAD_KINDS.map((): Align => 'right'), 'right'];

/** A row a load, system and role: all threads with the smallest, the middle and the largest round, and the mean of each kind of thread. @param of what costs it */
export function formatCpu(lines: readonly CpuLine[], of = 'us of CPU a command'): string {
  const rows = lines.flatMap(({ load, system, rounds }) => {
    const roles = [...new Set(rounds.flatMap((round) => Object.keys(round)))];
    return roles.map((role) => {
      const own = rounds.flatMap((round) => round[role] ?? []);
      const mean = meanTimes(own);
      const sums = rangeOf(own.map(sumOf), (us) => us.toFixed(1));
      return [load, system, role, sums, ...THREAD_KINDS.map((kind) => mean[kind].toFixed(1))];
    });
  });
  return formatTable([[of, 'system', 'process', 'all', ...THREAD_KINDS], ...rows], ALIGNS);
}
