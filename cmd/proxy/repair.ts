/**
 * Copies keys from the side that answers to the other one. Keys are compared and copied while no client's command on them is under way, and the
 * second side has answered what it was told before: so what is equal is equal, and what is copied is not overtaken.
 */
import { isPayload, type RdbValue, readPayload, valueParts } from '../../src/adapter/redis/index.ts';
import { DEFAULT_WRITER_LIMITS, differenceOf, isSameTime, ValueInParts, Writer } from '../import/index.ts';
import { Link, openFirst, ServerError, type Upstream } from '../redis/index.ts';
import type { KeyGate } from './key-gate.ts';
import type { KeyPlace } from './key-place.ts';
import type { Report } from './report.ts';

const KEYS_AT_ONCE = 100;
const MAX_DECOMPRESSED_BYTES = 1024 ** 3;
/** Clients wait for a key as long as it is copied. */
const GIVE_UP_MS = 20_000;

export interface RepairParts {
  readonly from: Upstream;
  readonly to: Upstream;
  /** The other side is a cluster, which takes large values in parts. */
  readonly toCluster: boolean;
  readonly gate: KeyGate;
  readonly report: Report;
  /** Waits until the second side has answered what it was told. @throws when it does not */
  passed(): Promise<void>;
  /** Nothing more is to be copied. */
  readonly interrupted: AbortSignal;
}

/** What is under a key. */
interface Held {
  /** Undefined when there is nothing. */
  readonly payload: Buffer | undefined;
  /** Unix milliseconds; undefined is never. */
  readonly expiresMs: number | undefined;
}

export class Repair {
  private readonly parts: RepairParts;
  private readonly from: Link;
  private readonly to: Link;
  /** For values in parts. */
  private readonly writer: Writer;
  /** Keys that were looked at. */
  private looked = 0;

  private constructor(parts: RepairParts, from: Link, to: Link) {
    this.parts = parts;
    this.from = from;
    this.to = to;
    this.writer = new Writer({ ...DEFAULT_WRITER_LIMITS, ...parts.to, connections: 1, giveUpMs: GIVE_UP_MS });
  }

  /** @throws the error of a connection */
  static async open(parts: RepairParts): Promise<Repair> {
    const [from, to] = await Promise.all([openFirst(parts.from, Link.open), openFirst(parts.to, Link.open)]);
    return new Repair(parts, from, to);
  }

  close(): void {
    this.from.close();
    this.to.close();
    this.writer.close();
  }

  /**
   * Looks after all keys that may differ.
   * @param isOfAll after all that there are
   * @returns how many keys it has looked at
   * @throws the error of a connection, ServerError; what was not looked after is in the report again
   */
  async run(isOfAll: boolean): Promise<number> {
    const { report, interrupted } = this.parts;
    const { places, hasUnnamed } = report.takeSuspicion();
    const isWhole = isOfAll || hasUnnamed;
    let left = [...places];
    try {
      if (isWhole) await this.all();
      else {
        while (left.length > 0) {
          interrupted.throwIfAborted();
          const { database } = left[0]!;
          const some = left.filter((place) => place.database === database).slice(0, KEYS_AT_ONCE);
          await this.keys(
            database,
            some.map(({ key }) => key),
          );
          const done = new Set(some);
          left = left.filter((place) => !done.has(place));
        }
      }
    } catch (error) {
      report.putBack({ places: left, hasUnnamed });
      throw error;
    }
    return this.looked;
  }

  /** Every key of either side, and the libraries of functions. */
  private async all(): Promise<void> {
    const databases = new Set<number>();
    for (const side of [this.from, this.to]) {
      const info = String(await side.call(['INFO', 'keyspace']));
      for (const [, database] of info.matchAll(/^db(\d+):/gm)) databases.add(Number(database));
    }
    await this.libraries();
    for (const database of databases) {
      for await (const keys of this.scan(this.from, database)) await this.keys(database, keys);
      for await (const keys of this.scan(this.to, database)) {
        const there = await Promise.all(keys.map((key) => this.from.call(['EXISTS', key])));
        const extra = keys.filter((_, at) => there[at] === 0);
        if (extra.length > 0) await this.keys(database, extra);
      }
    }
  }

  private async *scan(side: Link, database: number): AsyncGenerator<readonly Buffer[]> {
    let cursor: Buffer | string = '0';
    do {
      this.parts.interrupted.throwIfAborted();
      await this.select(database);
      const [next, keys] = (await side.call(['SCAN', cursor, 'COUNT', KEYS_AT_ONCE])) as [Buffer, readonly Buffer[]];
      cursor = next;
      if (keys.length > 0) yield keys;
    } while (cursor.toString() !== '0');
  }

  private async select(database: number): Promise<void> {
    await Promise.all([this.from.call(['SELECT', database]), this.to.call(['SELECT', database])]);
  }

  private async libraries(): Promise<void> {
    await this.alone(undefined, async () => {
      const [there, here] = await Promise.all([
        this.from.call(['FUNCTION', 'DUMP']),
        this.to.call(['FUNCTION', 'DUMP']),
      ]);
      if (!(there as Buffer).equals(here as Buffer))
        await this.to.call(['FUNCTION', 'RESTORE', there as Buffer, 'FLUSH']);
    });
  }

  private async keys(database: number, keys: readonly Buffer[]): Promise<void> {
    const places = keys.map((key) => ({ database, key }));
    await this.alone(places, async () => {
      await this.select(database);
      const [there, here] = await Promise.all([held(this.from, keys), held(this.to, keys)]);
      await Promise.all(keys.map((key, at) => this.mend({ database, key }, there[at]!, here[at]!)));
    });
    this.looked += keys.length;
  }

  /** While no command on these keys is under way anywhere. */
  private async alone(places: readonly KeyPlace[] | undefined, act: () => Promise<void>): Promise<void> {
    const leave = await this.parts.gate.enter(places, {});
    try {
      await this.parts.passed();
      this.parts.interrupted.throwIfAborted();
      await act();
    } finally {
      leave();
    }
  }

  private async mend(place: KeyPlace, there: Held, here: Held): Promise<void> {
    if (isSame(there, here)) return;
    const { report } = this.parts;
    const { key } = place;
    const refusal = await this.copy(place, there);
    if (refusal === undefined) report.repaired += 1;
    else {
      report.note('refused', [there.payload === undefined ? 'UNLINK' : 'RESTORE', key], refusal.message);
      report.markDirty([place]);
    }
  }

  /** @returns why the other side does not take it */
  private async copy({ database, key }: KeyPlace, { payload, expiresMs }: Held): Promise<ServerError | undefined> {
    const parts = payload !== undefined && this.parts.toCluster && isPayload(payload) ? valueParts(payload) : undefined;
    if (parts !== undefined) return this.copyParts(database, key, parts, expiresMs);
    const restMs = expiresMs === undefined ? 0 : Math.max(1, expiresMs - Date.now());
    const command = payload === undefined ? ['UNLINK', key] : ['RESTORE', key, restMs, payload, 'REPLACE'];
    const reply = await this.to.send(command);
    return reply instanceof ServerError ? reply : undefined;
  }

  private async copyParts(
    database: number,
    key: Buffer,
    parts: Iterable<RdbValue>,
    expiresMs: number | undefined,
  ): Promise<ServerError | undefined> {
    const copied = new ValueInParts(this.writer, database, key);
    for (const part of parts) {
      this.parts.interrupted.throwIfAborted();
      await copied.add(part);
    }
    return copied.end(expiresMs);
  }
}

async function held(side: Link, keys: readonly Buffer[]): Promise<Held[]> {
  const replies = await Promise.all(
    keys.map((key) => Promise.all([side.call(['DUMP', key]), side.call(['PTTL', key])])),
  );
  const nowMs = Date.now();
  return replies.map(([payload, restMs]) => ({
    payload: payload === null ? undefined : (payload as Buffer),
    expiresMs: Number(restMs) < 0 ? undefined : nowMs + Number(restMs),
  }));
}

/** What cannot be read here is not the same. */
function isSame(there: Held, here: Held): boolean {
  if (there.payload === undefined || here.payload === undefined) return there.payload === here.payload;
  if (!isSameTime(there.expiresMs, here.expiresMs)) return false;
  if (there.payload.equals(here.payload)) return true;
  try {
    return (
      isPayload(there.payload) &&
      isPayload(here.payload) &&
      differenceOf(
        readPayload(there.payload, MAX_DECOMPRESSED_BYTES),
        readPayload(here.payload, MAX_DECOMPRESSED_BYTES),
      ) === undefined
    );
  } catch {
    return false;
  }
}
