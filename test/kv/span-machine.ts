/** A state machine of one group whose entries the test writes by hand. */
import assert from 'node:assert/strict';
import type { SpanCommand } from '../../src/distribution/ownership/span-types.ts';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import type { ImportOutcome, SpanReply } from '../../src/kv/contract/range-transfer.ts';
import { type Expectation, encodeBatch, type Mutation } from '../../src/kv/entry/entry.ts';
import { type CapturedEffect, captureBounds, capturePlace, decodeCaptured } from '../../src/kv/entry/local-keys.ts';
import { encodeImport, encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../src/platform/index.ts';
import { EntryKind } from '../../src/raftengine/core/types.ts';
import type { ExportedVersion } from '../../src/store/contract/types.ts';
import { applyWithPressure, bytes, CONF } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

export const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));
export const put = (unit: number, key: string, value: string, expire = 0): Mutation => ({
  unit,
  key: bytes(key),
  value: bytes(value),
  expireTs: ts(expire),
  end: undefined,
});
export const remove = (unit: number, key: string): Mutation => ({ ...put(unit, key, ''), value: undefined });
export const removeRange = (unit: number, start: string, end: string): Mutation => ({
  ...remove(unit, start),
  end: bytes(end),
});
export const expects = (unit: number, key: string, version: number): Expectation => ({
  unit,
  key: bytes(key),
  versionTs: ts(version),
});
export const version = (key: string, commitTs: number, value: string | undefined, expire = 0): ExportedVersion => ({
  key: bytes(key),
  commitTs: ts(commitTs),
  expireTs: ts(expire),
  value: value === undefined ? undefined : bytes(value),
});

export class Machine {
  readonly store: MemoryStore;
  machine: GroupStateMachine;

  /** @param owned the range that the group owns from the start */
  constructor(owned: readonly [string, string | undefined] | 'nothing' = ['a', 'z'], store = new MemoryStore()) {
    this.store = store;
    this.machine = new GroupStateMachine({ store, initialConf: CONF });
    if (owned === 'nothing') return;
    const [start, end] = owned;
    this.span({ kind: 'assign', start: bytes(start), end: end === undefined ? undefined : bytes(end), epoch: 1 });
  }

  get index(): LogIndex {
    return this.machine.applied().index;
  }

  apply(payload: Buffer): unknown {
    const entry = { index: this.index + 1, term: 1, kind: EntryKind.Normal, payload, conf: undefined };
    return applyWithPressure(this.machine, this.store, [entry])[0];
  }

  span(
    command: SpanCommand,
    at = Number(this.machine.maxTs) + 1,
    extra: { gc?: number; imports?: number } = {},
  ): SpanReply {
    return this.apply(encodeSpan(ts(at), command, ts(extra.gc ?? 0), extra.imports ?? 0)) as SpanReply;
  }

  /** Applies a command that has to be done. */
  done(command: SpanCommand, extra: { gc?: number; imports?: number } = {}): SpanReply {
    const reply = this.span(command, undefined, extra);
    assert.equal(reply.outcome.kind, 'done', reply.outcome.kind === 'refused' ? reply.outcome.reason : '');
    return reply;
  }

  refuses(command: SpanCommand, reason: string, extra: { gc?: number; imports?: number } = {}): void {
    assert.deepEqual(this.span(command, undefined, extra).outcome, { kind: 'refused', reason });
  }

  batch(commitTs: number, mutations: readonly Mutation[], expectations: readonly Expectation[] = []): unknown {
    return this.apply(encodeBatch(ts(commitTs), 8, expectations, mutations));
  }

  import(seq: number, versions: readonly ExportedVersion[], attempt = 1, job = 1, behind?: string): ImportOutcome {
    const request = { job, attempt, seq, bookmark: bytes(`#${seq}`), versions };
    const follows = behind === undefined ? {} : { follows: bytes(behind) };
    return this.apply(encodeImport({ ...request, ...follows })) as ImportOutcome;
  }

  value(key: string): string | undefined {
    const latest = this.store.latest(bytes(key));
    return latest === undefined || latest.isTombstone ? undefined : latest.value.toString();
  }

  async history(key: string): Promise<string[]> {
    const end = Buffer.concat([bytes(key), Buffer.from([0])]);
    const { versions } = await this.store.exportVersions({ start: bytes(key), end, after: undefined, maxBytes: 1e6 });
    return versions.map(({ commitTs, value }) => `${commitTs}:${value?.toString() ?? 'x'}`);
  }

  /** The capture log of a job: place, effect, timestamp and key of each row. */
  async captured(job = 1): Promise<string[]> {
    const [start, end] = captureBounds(job);
    const { rows } = await this.store.scan({ start, end, readTs: this.machine.maxTs, limit: 1000 });
    return rows.map((row) => {
      const { index, position } = capturePlace(row.key);
      const { kind, commitTs, key, end: until }: CapturedEffect = decodeCaptured(row.value);
      return `${index}.${position} ${kind} ${commitTs} ${key.toString()}${until === undefined ? '' : `-${until.toString()}`}`;
    });
  }
}

export const range = (start: string, end: string) => ({ start: bytes(start), end: bytes(end) });
export const captureOn: SpanCommand = { kind: 'captureOn', job: 1, ...range('f', 'm') };
export const incoming = (attempt = 1, job = 1): SpanCommand => ({ kind: 'incoming', job, attempt, ...range('f', 'm') });
export const fence: SpanCommand = { kind: 'fence', job: 1, attempt: 1 };
export const release = (fenceTs: number): SpanCommand => ({
  kind: 'release',
  job: 1,
  attempt: 1,
  dst: groupId(9),
  fenceTs: ts(fenceTs),
});
export const activate = (floor: number): SpanCommand => ({ kind: 'activate', job: 1, floor: ts(floor), epoch: 2 });
export const whole = (reason: string) => new Map([[0, reason]]);
