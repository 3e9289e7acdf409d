/** Compares a running Redis with a cluster, key by key. What differs is looked at again: a write may be under way. */
import { setTimeout as delay } from 'node:timers/promises';
import { isPayload, readPayload } from '../../src/adapter/redis/index.ts';
import { type CommandLine, Lane, type LinkSecurity, type LinkTarget, ServerError } from '../redis/index.ts';
import { PLACE_DATABASE, PLACE_KEY } from './applier.ts';
import { differenceOf, isSameTime } from './compare-values.ts';
import { type DifferenceKind, Differences } from './differences.ts';
import { keyText } from './tally.ts';
import { ask, type WriterOptions } from './writer.ts';

const KEYS_AT_ONCE = 100;
const TRIES = 6;
const PAUSE_MS = 1_000;
const MAX_DECOMPRESSED_BYTES = 1024 ** 3;

interface Place {
  readonly database: number;
  readonly key: Buffer;
}

interface Finding extends Place {
  readonly kind: DifferenceKind;
  readonly detail: string;
}

/** What a side has under a key. */
interface Held {
  /** Undefined when there is no such key. */
  readonly payload: Buffer | undefined;
  /** Unix milliseconds; undefined is never. */
  readonly expiresMs: number | undefined;
}

type Ask = (database: number, commands: readonly CommandLine[]) => Promise<readonly unknown[]>;

export class LiveVerifier {
  readonly differences = new Differences();
  private readonly sourceLane: Lane;
  private readonly lane: Lane;
  private readonly giveUpMs: number;

  constructor(source: LinkTarget, sourceSecurity: LinkSecurity, options: WriterOptions) {
    this.sourceLane = new Lane({ targets: [source], security: sourceSecurity }, 0);
    this.lane = new Lane(options, 0);
    this.giveUpMs = options.giveUpMs;
  }

  /** @throws ServerError, GaveUpError */
  async verify(): Promise<Differences> {
    for (const database of await this.databases()) {
      for await (const keys of this.scan(this.askSource, database)) {
        const places = keys.map((key) => ({ database, key }));
        this.differences.compared += places.length;
        await this.settle(await this.compare(places));
      }
      for await (const keys of this.scan(this.askTarget, database)) {
        const own = database === PLACE_DATABASE ? keys.filter((key) => key.toString() !== PLACE_KEY) : keys;
        const there = await this.askSource(
          database,
          own.map((key) => ['EXISTS', key]),
        );
        await this.settle(await this.compare(own.flatMap((key, at) => (there[at] === 0 ? [{ database, key }] : []))));
      }
    }
    return this.differences;
  }

  close(): void {
    this.sourceLane.close();
    this.lane.close();
  }

  private readonly askSource: Ask = (database, commands) => ask(this.sourceLane, this.giveUpMs, database, commands);
  private readonly askTarget: Ask = (database, commands) => ask(this.lane, this.giveUpMs, database, commands);

  /** Databases that have keys on either side. */
  private async databases(): Promise<number[]> {
    const found = new Set<number>();
    for (const ask of [this.askSource, this.askTarget]) {
      const [info] = await ask(0, [['INFO', 'keyspace']]);
      for (const [, database] of String(info).matchAll(/^db(\d+):/gm)) found.add(Number(database));
    }
    return [...found].sort((left, right) => left - right);
  }

  private async *scan(ask: Ask, database: number): AsyncGenerator<readonly Buffer[]> {
    let cursor = '0';
    do {
      const [answer] = await ask(database, [['SCAN', cursor, 'COUNT', KEYS_AT_ONCE]]);
      if (answer instanceof ServerError) throw answer;
      const [next, keys] = answer as [Buffer, readonly Buffer[]];
      cursor = next.toString();
      if (keys.length > 0) yield keys;
    } while (cursor !== '0');
  }

  /** Looks again at what differs, until it does not or has done so for long. */
  private async settle(first: readonly Finding[]): Promise<void> {
    let findings = first;
    for (let left = TRIES - 1; left > 0 && findings.length > 0; left--) {
      await delay(PAUSE_MS);
      findings = await this.compare(findings);
    }
    for (const { database, key, kind, detail } of findings) this.differences.note(kind, keyText(database, key), detail);
  }

  private async compare(places: readonly Place[]): Promise<Finding[]> {
    if (places.length === 0) return [];
    const { database } = places[0]!;
    const [there, here] = await Promise.all([
      this.held(this.askSource, database, places),
      this.held(this.askTarget, database, places),
    ]);
    return places.flatMap((place, at) => {
      const finding = difference(there[at]!, here[at]!);
      return finding === undefined ? [] : [{ ...place, kind: finding[0], detail: finding[1] }];
    });
  }

  private async held(ask: Ask, database: number, places: readonly Place[]): Promise<Held[]> {
    const answers = await ask(
      database,
      places.flatMap(({ key }) => [
        ['DUMP', key],
        ['PTTL', key],
      ]),
    );
    const nowMs = Date.now();
    return places.map((_, at) => {
      const payload = answers[2 * at];
      if (payload instanceof ServerError) throw payload;
      const restMs = Number(answers[2 * at + 1]);
      return {
        payload: Buffer.isBuffer(payload) ? payload : undefined,
        expiresMs: restMs < 0 ? undefined : nowMs + restMs,
      };
    });
  }
}

function difference(there: Held, here: Held): [DifferenceKind, string] | undefined {
  if (there.payload === undefined)
    return here.payload === undefined ? undefined : ['extra', 'the source does not have it'];
  if (here.payload === undefined) return ['missing', 'it is not there'];
  for (const { payload } of [there, here]) if (!isPayload(payload!)) return ['value', 'its format is too new'];
  const detail = differenceOf(
    readPayload(there.payload, MAX_DECOMPRESSED_BYTES),
    readPayload(here.payload, MAX_DECOMPRESSED_BYTES),
  );
  if (detail !== undefined) return ['value', detail];
  if (!isSameTime(there.expiresMs, here.expiresMs))
    return ['expiry', `${there.expiresMs ?? 'never'} there, ${here.expiresMs ?? 'never'} here`];
  return undefined;
}
