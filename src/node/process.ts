/** What the process around a node tells operators of itself: what its Redis clients ask, and what it logs. */
import type { RedisCounters } from '../adapter/redis/index.ts';
import { AdminError, LOG_LEVELS, type LoadRecorder, type LocalNode, type NodeActivity } from '../cluster/index.ts';
import { type Clock, type GroupId, LATENCY_BOUNDS_MS, type Millis } from '../platform/index.ts';
import type { StoragePressure } from './storage-pressure.ts';

/** The part of a pino logger whose level is changed. */
export interface LeveledLogger {
  level: string;
  info(fields: object, message: string): void;
}

/** @param redis undefined before clients are served */
export function activityOf(
  redis: RedisCounters | undefined,
  upMs: Millis,
  logLevel: string,
): Omit<NodeActivity, 'hotRanges' | 'heldBack'> {
  const latencyCounts = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  let commands = 0;
  let commandErrors = 0;
  for (const { counters } of redis?.commands ?? []) {
    commandErrors += counters.errors;
    for (const [at, count] of counters.latencyMs.counts.entries()) {
      latencyCounts[at]! += count;
      commands += count;
    }
  }
  const clients = redis?.connections ?? 0;
  return { upMs, logLevel, clients, commands, commandErrors, latencyBoundsMs: [...LATENCY_BOUNDS_MS], latencyCounts };
}

/**
 * Says what is logged, and changes it until the process ends.
 * @param level undefined leaves it
 * @throws AdminError INVALID_ARGUMENT for a level that there is not
 */
export function changeLogLevel(
  logger: LeveledLogger,
  level: string | undefined,
): { readonly level: string; readonly before: string } {
  const before = logger.level;
  if (level === undefined || level === before) return { level: before, before };
  if (!LOG_LEVELS.includes(level)) throw new AdminError('INVALID_ARGUMENT', `there is no level '${level}'`);
  logger.level = level;
  logger.info({ from: before, to: level }, 'an operator has changed what is logged');
  return { level, before };
}

/** What operators may ask of the process around a node. */
export interface ProcessAround {
  activity(): Omit<NodeActivity, 'hotRanges' | 'heldBack'>;
  logLevel: NonNullable<LocalNode['logLevel']>;
}

/** Busiest ranges that a node tells of itself. */
const HOT_RANGES = 10;

/** What a node tells operators of itself and of the process around it. @param groups replicas here */
export const processOf = (
  around: ProcessAround,
  recorder: LoadRecorder,
  storagePressure: StoragePressure,
  groups: () => readonly GroupId[],
  clock: Clock,
): Required<Pick<LocalNode, 'activity' | 'logLevel'>> => ({
  activity: () => ({
    ...around.activity(),
    hotRanges: recorder.hottest(HOT_RANGES, clock.nowMs()),
    heldBack: groups().flatMap((group) => {
      const { level, reason } = storagePressure.admissionOf(group);
      return level === 'ok' ? [] : [{ groupId: group, level, reason }];
    }),
  }),
  logLevel: (level) => around.logLevel(level),
});
