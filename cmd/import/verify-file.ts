/** Reads a file of Redis once more and holds each key against what the cluster has. */
import {
  framePayload,
  isPayload,
  type RdbKey,
  type RdbRecord,
  type RdbValue,
  readPayload,
} from '../../src/adapter/redis/index.ts';
import { type CommandLine, Lane, ServerError } from '../redis/index.ts';
import { differenceOf, isSameTime } from './compare-values.ts';
import { Differences } from './differences.ts';
import { PartQuestions, type Questions } from './part-questions.ts';
import { recordsOf } from './records.ts';
import { keyText } from './tally.ts';
import { ask, type WriterOptions } from './writer.ts';

const KEYS_AT_ONCE = 400;
const BYTES_AT_ONCE = 4 * 1024 ** 2;
const MAX_DECOMPRESSED_BYTES = 1024 ** 3;
const NEVER_MS = -1;
const ABSENT_MS = -2;

type Whole = Extract<RdbRecord, { kind: 'value' }>;
type Part = Extract<RdbRecord, { kind: 'part' }>;

/** Holds a file against a cluster. */
export class FileVerifier {
  readonly differences = new Differences();
  private readonly lane: Lane;
  private readonly giveUpMs: number;
  private readonly nowMs: () => number;
  private readonly byDatabase = new Map<number, number>();
  private batch: Whole[] = [];
  private batchBytes = 0;
  private large: { readonly questions: PartQuestions; isDifferent: boolean } | undefined;

  constructor(options: WriterOptions, nowMs: () => number) {
    this.lane = new Lane(options, 0);
    this.giveUpMs = options.giveUpMs;
    this.nowMs = nowMs;
  }

  /** @throws RdbFormatError, GaveUpError */
  async verify(file: AsyncIterable<Buffer>): Promise<Differences> {
    for await (const { record } of recordsOf(file)) await this.hold(record);
    await this.flush();
    await this.countExtra();
    return this.differences;
  }

  close(): void {
    this.lane.close();
  }

  private async hold(record: RdbRecord): Promise<void> {
    switch (record.kind) {
      case 'value':
        this.batch.push(record);
        this.batchBytes += record.bytes.length;
        if (this.batch.length >= KEYS_AT_ONCE || this.batchBytes >= BYTES_AT_ONCE) await this.flush();
        break;
      case 'part':
        await this.holdPart(record);
        break;
      case 'module':
        this.differences.note('missing', keyText(record.database, record.key), 'the value is of a module of Redis');
    }
  }

  private async flush(): Promise<void> {
    const records = this.batch;
    this.batch = [];
    this.batchBytes = 0;
    for (let from = 0; from < records.length; ) {
      const { database } = records[from]!;
      let to = from;
      while (records[to]?.database === database) to++;
      const some = records.slice(from, to);
      const answers = await this.ask(
        database,
        some.flatMap(({ key }) => [
          ['DUMP', key],
          ['PEXPIRETIME', key],
        ]),
      );
      for (const [index, record] of some.entries())
        this.holdWhole(record, answers[2 * index], Number(answers[2 * index + 1]));
      from = to;
    }
  }

  /** Whether the key is to be there; what expires about now may be there or not. */
  private isExpected({ database, expiresMs }: RdbKey, isThere: boolean): boolean {
    const hasExpired = expiresMs !== undefined && expiresMs <= this.nowMs();
    if (isThere) this.byDatabase.set(database, (this.byDatabase.get(database) ?? 0) + 1);
    return !hasExpired;
  }

  private holdWhole(record: Whole, payload: unknown, expiresMs: number): void {
    const { database, key, bytes } = record;
    const name = keyText(database, key);
    this.differences.compared += 1;
    if (!Buffer.isBuffer(payload) || !isPayload(payload)) {
      const reason = payload instanceof ServerError ? payload.message : 'it is not there';
      if (this.isExpected(record, false)) this.differences.note('missing', name, reason);
      return;
    }
    if (!this.isExpected(record, true)) return;
    const difference = differenceOf(this.decoded(framePayload(bytes)), this.decoded(payload));
    if (difference !== undefined) this.differences.note('value', name, difference);
    this.holdExpiry(record, expiresMs);
  }

  /** Without the fields that have expired since. */
  private decoded(payload: Buffer): RdbValue {
    const value = readPayload(payload, MAX_DECOMPRESSED_BYTES);
    if (value.type !== 'hash') return value;
    const nowMs = this.nowMs();
    return {
      type: 'hash',
      fields: value.fields.filter(({ expiresMs }) => expiresMs === undefined || expiresMs > nowMs),
    };
  }

  private holdExpiry({ database, key, expiresMs }: RdbKey, hereMs: number): void {
    const here = hereMs === NEVER_MS ? undefined : hereMs;
    if (hereMs !== ABSENT_MS && !isSameTime(expiresMs, here))
      this.differences.note('expiry', keyText(database, key), `${expiresMs ?? 'never'} there, ${here ?? 'never'} here`);
  }

  private async holdPart(record: Part): Promise<void> {
    const { database, key, value, isFirst, isLast } = record;
    if (isFirst) this.large = { questions: new PartQuestions(key), isDifferent: false };
    const large = this.large!;
    const name = keyText(database, key);
    const hold = async ({ commands, differenceIn }: Questions): Promise<void> => {
      if (large.isDifferent) return;
      const answers = await this.ask(database, commands);
      const refusal = answers.find((answer) => answer instanceof ServerError) as ServerError | undefined;
      const detail = refusal?.message ?? differenceIn(answers);
      if (detail === undefined) return;
      this.differences.note('value', name, detail);
      large.isDifferent = true;
    };
    await hold(large.questions.about(value));
    if (!isLast) return;
    this.differences.compared += 1;
    const [expiresMs] = await this.ask(database, [['PEXPIRETIME', key]]);
    if (!this.isExpected(record, expiresMs !== ABSENT_MS)) return;
    if (expiresMs === ABSENT_MS) this.differences.note('missing', name, 'it is not there');
    else await hold(large.questions.aboutAll());
    this.holdExpiry(record, Number(expiresMs));
  }

  /** Keys that nobody asked for, by their number. */
  private async countExtra(): Promise<void> {
    for (const [database, keys] of this.byDatabase) {
      const [size] = await this.ask(database, [['DBSIZE']]);
      const extra = Number(size) - keys;
      if (extra > 0)
        this.differences.note('extra', `database ${database}`, `${extra} keys that are not in the file`, extra);
    }
  }

  private ask(database: number, commands: readonly CommandLine[]): Promise<readonly unknown[]> {
    return ask(this.lane, this.giveUpMs, database, commands);
  }
}
