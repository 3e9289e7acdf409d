/** What a figure depends on, and the order in which systems take turns. */
import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** The machine, for result files. */
export const machine = (): Record<string, unknown> => ({
  cpu: cpus()[0]?.model,
  processors: availableParallelism(),
  memoryGib: Math.round(totalmem() / 1024 ** 3),
  kernel: release(),
  node: process.versions.node,
});

/** Each system is first, second and last equally often. */
export const rotated = <T>(items: readonly T[], by: number): T[] =>
  items.map((_, index) => items[(index + by) % items.length]!);
