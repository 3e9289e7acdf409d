/**
 * Which keys were written lately, and with which timestamps, so that whoever takes changes out of a store need not look at all of it. There are
 * two halves: when the younger one is full the older one is forgotten. What it says is complete above a floor; below, all has to be read.
 */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { RecentChanges } from '../contract/index.ts';
import { nameOf } from '../rows/index.ts';
import type { UnitWriter } from './unit-writer.ts';

/** Of one half. */
export interface ChangeNotesLimits {
  readonly notes: number;
  /** Of the names of keys. */
  readonly bytes: number;
}

const DEFAULT_LIMITS: ChangeNotesLimits = { notes: 16_384, bytes: 1 << 20 };

class Half {
  readonly names: string[] = [];
  readonly timestamps: HlcTimestamp[] = [];
  readonly ranges: { readonly start: Buffer; readonly end: Buffer; readonly commitTs: HlcTimestamp }[] = [];
  bytes = 0;
  newest: HlcTimestamp = NEVER;
}

/** See the top of the file. */
export class ChangeNotes {
  private readonly isOn: () => boolean;
  private readonly limits: ChangeNotesLimits;
  private younger = new Half();
  private older = new Half();
  /** Every version above it is noted; undefined while nothing is. */
  private floor: HlcTimestamp | undefined;

  /** @param isOn asked for each unit; while it says no nothing is noted, and what was is forgotten */
  constructor(isOn: () => boolean, limits: ChangeNotesLimits = DEFAULT_LIMITS) {
    this.isOn = isOn;
    this.limits = limits;
  }

  /** @param before the largest timestamp of all earlier units */
  note(unit: Pick<UnitWriter, 'versions' | 'ranges'>, before: HlcTimestamp): void {
    if (!this.isOn()) {
      this.forget();
      return;
    }
    this.floor ??= before;
    for (const { start, end, ts } of unit.ranges) {
      const kept = { start: Buffer.from(start), end: Buffer.from(end), commitTs: ts };
      this.younger.ranges.push(kept);
      this.count(start.length + end.length, ts);
    }
    for (const { key, commitTs } of unit.versions) {
      this.younger.names.push(nameOf(key));
      this.younger.timestamps.push(commitTs);
      this.count(key.length, commitTs);
    }
  }

  /** The store is another one now. */
  forget(): void {
    if (this.floor === undefined) return;
    this.floor = undefined;
    this.younger = new Half();
    this.older = new Half();
  }

  /** What was written above a timestamp; undefined when that is not known any more. */
  since(above: HlcTimestamp): RecentChanges | undefined {
    if (this.floor === undefined || above < this.floor) return undefined;
    const found: { name: string; commitTs: HlcTimestamp }[] = [];
    const ranges: Half['ranges'] = [];
    for (const { names, timestamps, ranges: noted } of [this.older, this.younger]) {
      for (const [at, name] of names.entries()) {
        const commitTs = timestamps[at]!;
        if (commitTs > above) found.push({ name, commitTs });
      }
      for (const range of noted) if (range.commitTs > above) ranges.push(range);
    }
    // Latin-1 names: order of text is order of bytes.
    found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.commitTs < b.commitTs ? -1 : 1));
    const versions: { readonly key: Buffer; readonly commitTs: HlcTimestamp }[] = [];
    for (const [at, { name, commitTs }] of found.entries()) {
      // Written more than once in a unit, or brought again by a move.
      const last = found[at - 1];
      if (last?.name === name && last.commitTs === commitTs) continue;
      versions.push({ key: Buffer.from(name, 'latin1'), commitTs });
    }
    return { versions, ranges };
  }

  private count(bytes: number, ts: HlcTimestamp): void {
    const { younger, limits } = this;
    younger.bytes += bytes;
    if (ts > younger.newest) younger.newest = ts;
    if (younger.names.length + younger.ranges.length < limits.notes && younger.bytes < limits.bytes) return;
    if (this.older.newest > this.floor!) this.floor = this.older.newest;
    this.older = younger;
    this.younger = new Half();
  }
}
