/**
 * How hard a replica is pressed, from numbers that it knows anyway. A pure decision: others measure, others refuse. Levels go up
 * at one mark and down at a lower one, so that a store at its limit does not flap.
 */
import type { Millis } from '../../platform/index.ts';

/** `slow`: writes are let in at a rate. `stop`: none are. */
export type PressureLevel = 'ok' | 'slow' | 'stop';

export interface Pressure {
  readonly level: PressureLevel;
  /** What presses most; for people. Empty when nothing does. */
  readonly reason: string;
}

/** What is measured of a replica and its node; undefined where nobody can say. */
export interface PressureSignals {
  /** Free on the data disk. */
  readonly freeBytes: number | undefined;
  /** Below this much free space nothing more is taken in. */
  readonly reserveBytes: number;
  /** A write of the log or of the store waits for room on the disk. */
  readonly isOutOfSpace: boolean;
  /** Applied and not yet durable, as a share of what there may be. */
  readonly bufferShare: number;
  /** Files that no compaction has sorted yet. */
  readonly levelZeroFiles: number | undefined;
  /** Committed entries that are not applied. */
  readonly applyLag: number;
  /** 99 of 100 durable writes of the log took no longer, lately. */
  readonly syncP99Ms: Millis | undefined;
  /** Longest time that the process stood still meanwhile: it measures the writes, so it takes its own stalls for theirs. */
  readonly longestStallMs: Millis;
}

interface Mark {
  readonly slow: number;
  readonly stop: number;
}

/** From where on a signal presses. */
export interface PressureMarks {
  readonly bufferShare: Mark;
  readonly levelZeroFiles: Mark;
  readonly applyLag: Mark;
  readonly syncP99Ms: Mark;
  /** Free space in reserves. */
  readonly freeReserves: Mark;
}

/**
 * LevelDB itself slows at 8 unsorted files and waits at 12. A disk that needs seconds for a synced write is not one that takes
 * more; on a busy machine hundreds of milliseconds are not unusual.
 */
export const DEFAULT_PRESSURE_MARKS: PressureMarks = {
  bufferShare: { slow: 0.75, stop: 1 },
  levelZeroFiles: { slow: 11, stop: 24 },
  applyLag: { slow: 5_000, stop: 50_000 },
  syncP99Ms: { slow: 2_000, stop: 10_000 },
  freeReserves: { slow: 2, stop: 1 },
};

/** A signal has to fall so far below its mark before the level does. */
const RELEASE = 0.8;

const LEVELS: readonly PressureLevel[] = ['ok', 'slow', 'stop'];
const NONE: Pressure = { level: 'ok', reason: '' };

/** The harder of two. */
export const harder = (one: Pressure, other: Pressure): Pressure =>
  LEVELS.indexOf(other.level) > LEVELS.indexOf(one.level) ? other : one;

/** @param before what it was the last time */
export function judgePressure(
  signals: PressureSignals,
  before: PressureLevel = 'ok',
  marks: PressureMarks = DEFAULT_PRESSURE_MARKS,
): Pressure {
  if (signals.isOutOfSpace) return { level: 'stop', reason: 'the disk is full' };
  const rising = (value: number | undefined, mark: Mark, reason: string): Pressure => {
    if (value === undefined) return NONE;
    const isOver = (level: PressureLevel, at: number): boolean => value >= (isHeld(level, before) ? at * RELEASE : at);
    if (isOver('stop', mark.stop)) return { level: 'stop', reason };
    return isOver('slow', mark.slow) ? { level: 'slow', reason } : NONE;
  };
  const { freeBytes, reserveBytes } = signals;
  // Turned round, so that more of it is more pressure.
  const shortage = freeBytes === undefined ? undefined : reserveBytes / Math.max(1, freeBytes);
  const space: Mark = { slow: 1 / marks.freeReserves.slow, stop: 1 / marks.freeReserves.stop };
  return [
    rising(shortage, space, 'the disk is nearly full'),
    rising(signals.bufferShare, marks.bufferShare, 'the store is behind with its writes'),
    rising(signals.levelZeroFiles, marks.levelZeroFiles, 'the store is behind with its compactions'),
    rising(signals.applyLag, marks.applyLag, 'the replica is behind with its log'),
    rising(signals.syncP99Ms, marks.syncP99Ms, slownessOf(signals)),
  ].reduce(harder, NONE);
}

/** What a slow write is due to. */
const slownessOf = ({ syncP99Ms = 0, longestStallMs }: PressureSignals): string =>
  longestStallMs * 2 >= syncP99Ms ? 'the processor is overloaded' : 'the disk is slow';

const isHeld = (level: PressureLevel, before: PressureLevel): boolean =>
  LEVELS.indexOf(before) >= LEVELS.indexOf(level);
