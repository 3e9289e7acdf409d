/**
 * A `KeyView` over values that were read beforehand, wherever their groups are. Writes are kept back. What was not read yet is
 * noted: the function that runs over the view is stopped there, and run again when the value is known.
 */
import { assert, type HlcTimestamp, hlcTimestamp, NEVER } from '../../platform/index.ts';
import { nameOf } from '../apply/index.ts';
import type { KeyAbsence, KeyIntent, KeyView, LiveValue } from '../contract/index.ts';

const NO_BYTES = Buffer.alloc(0);
const NO_CONDITION = { expected: undefined } as const;

/** What was seen where a key was looked for and is not there. */
export interface Absence extends KeyAbsence {
  /** Up to where its group had collected what was written. */
  readonly collectedTs: HlcTimestamp;
  /** When it was looked for, by the clock of its group. */
  readonly seenTs: HlcTimestamp;
}

/** Values by key name; undefined for a key that was looked for and is not there. */
export interface KnownValues extends ReadonlyMap<string, LiveValue | undefined> {
  /** Of a key that is not there, if that was asked for. */
  absence?(name: string): Absence | undefined;
  /** Brings the value of a key at once, so that it is known; false when that cannot be. */
  load?(key: Buffer): boolean;
}

/** Stops an evaluation at keys that were not read. Not an error that anybody declares, so nobody keeps it. */
class NotReadYet extends Error {}

interface BufferedWrite extends LiveValue {
  readonly key: Buffer;
  readonly isDelete: boolean;
}

/** The version to expect of a key; 0n of one that is not there. */
export const versionOf = (value: LiveValue | undefined): HlcTimestamp => value?.commitTs ?? NEVER;

export class BufferedView implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly known: KnownValues;
  private readonly written = new Map<string, BufferedWrite>();
  /** Keys whose value decided what was written or answered. */
  private readonly used = new Map<string, Buffer>();
  /** Keys of which it counted when they were deleted: they must not come and go any more. */
  private readonly absent = new Map<string, Absence>();
  /** Keys that were asked for beforehand, whether they are read or not. */
  private readonly prefetched = new Map<string, Buffer>();
  /** Keys that have to be read before the evaluation can go on; one at least. */
  missing: readonly Buffer[] | undefined;

  /** @param ts what TTLs of its own writes begin at */
  constructor(ts: HlcTimestamp, known: KnownValues) {
    this.ts = ts;
    this.known = known;
  }

  /** True when the evaluation has written nothing. */
  get isReadOnly(): boolean {
    return this.written.size === 0;
  }

  get(key: Buffer): LiveValue | undefined {
    const name = nameOf(key);
    const own = this.written.get(name);
    if (own !== undefined) return own.isDelete ? undefined : this.live(own);
    if (!this.known.has(name) && this.known.load?.(key) !== true) this.miss([key]);
    this.used.set(name, key);
    // Whether it has expired was judged where it was read, by the clock of its group.
    return this.known.get(name);
  }

  prefetch(keys: readonly Buffer[]): void {
    const missing: Buffer[] = [];
    for (const key of keys) {
      const name = nameOf(key);
      if (this.written.has(name)) continue;
      this.prefetched.set(name, key);
      if (!this.known.has(name) && this.known.load?.(key) !== true) missing.push(key);
    }
    if (missing.length > 0) this.miss(missing);
  }

  private miss(keys: readonly Buffer[]): never {
    // Several parts of an evaluation may stop, each at something else.
    this.missing = [...(this.missing ?? []), ...keys];
    throw new NotReadYet();
  }

  deletedAt(key: Buffer): HlcTimestamp {
    const name = nameOf(key);
    const absence = this.written.has(name) ? undefined : this.known.absence?.(name);
    if (absence === undefined) return NEVER;
    this.absent.set(name, absence);
    return absence.deletedTs;
  }

  private live(own: BufferedWrite): LiveValue | undefined {
    return own.expireTs !== NEVER && own.expireTs <= this.ts ? undefined : own;
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.written.set(nameOf(key), { key, value, expireTs, commitTs: this.ts, isDelete: false });
  }

  delete(key: Buffer): void {
    this.written.set(nameOf(key), { key, value: NO_BYTES, expireTs: NEVER, commitTs: this.ts, isDelete: true });
  }

  deleteRange(): void {
    assert(false, 'a transaction names its keys');
  }

  /** Keys that were read, in the order in which they were first. */
  usedKeys(): Buffer[] {
    return [...this.used.values()];
  }

  /** Keys without which the same evaluation would stop. */
  neededKeys(): Buffer[] {
    return [...new Map([...this.used, ...this.prefetched]).values()];
  }

  /** What has to be locked, and what has to be as it was read. @param locksReads false leaves out what was only read */
  intents(locksReads = true): KeyIntent[] {
    const intents: KeyIntent[] = [];
    for (const [name, { key, isDelete, value, expireTs }] of this.written) {
      const condition = this.used.has(name) ? this.condition(name) : NO_CONDITION;
      intents.push({ key, kind: isDelete ? 'delete' : 'put', value, expireTs, ...condition });
    }
    if (!locksReads) return intents;
    for (const [name, key] of this.used) {
      if (this.written.has(name)) continue;
      intents.push({ ...readIntent(key, undefined), ...this.condition(name) });
    }
    return intents;
  }

  /** What must be true of a key that was read. */
  private condition(name: string): Pick<KeyIntent, 'expected' | 'notAboveTs'> {
    const absence = this.absent.get(name);
    if (absence === undefined) return { expected: versionOf(this.known.get(name)) };
    // Later commands of the entry that was open when it was looked for have that entry's timestamp too.
    return { expected: undefined, notAboveTs: hlcTimestamp(absence.seenTs - 1n) };
  }
}

/** The lock of a key that was only read. */
export const readIntent = (key: Buffer, expected: HlcTimestamp | undefined): KeyIntent => ({
  key,
  kind: 'read',
  value: NO_BYTES,
  expireTs: NEVER,
  expected,
});
