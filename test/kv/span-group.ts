/** A group of one with spans of its own, whose promises the test drives to their end. */
import assert from 'node:assert/strict';
import { NotOwnerError, RangeBusyError } from '../../src/kv/contract/errors.ts';
import type { CapturePoint, SpanReply, SpanRequest } from '../../src/kv/contract/range-transfer.ts';
import { encodeSpan } from '../../src/kv/entry/span-entries.ts';
import type { ExecutorLimits } from '../../src/kv/leader/executor-options.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import type { ExportedVersion } from '../../src/store/contract/types.ts';
import { bytes, LoneGroup, type Outcome } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

export const range = (start: string, end: string | undefined) => ({
  start: bytes(start),
  end: end === undefined ? undefined : bytes(end),
});
export const START: CapturePoint = { index: 0, position: 0 };
export const captureOn = { kind: 'captureOn', job: 1, ...range('f', 'm') } satisfies SpanRequest;
export const fence: SpanRequest = { kind: 'fence', job: 1, attempt: 1 };
export const unfence: SpanRequest = { kind: 'unfence', job: 1, attempt: 1 };
export const release: SpanRequest = { kind: 'release', job: 1, attempt: 1, dst: groupId(9) };
export const incoming = { kind: 'incoming', job: 1, attempt: 1, ...range('f', 'm') } satisfies SpanRequest;
export const activate = (floor: HlcTimestamp, imports = 0): SpanRequest => {
  return { kind: 'activate', job: 1, floor, epoch: 2, gcThreshold: NEVER, imports };
};

/** A group with a memory store, and promises that are driven to their end. */
export class SpanGroup extends LoneGroup {
  readonly memory: MemoryStore;

  /** Commands are told at once that a range is being handed over, unless they are to wait. */
  constructor(
    options: {
      owned?: readonly [string, string | undefined] | 'all';
      maxInflightEntries?: number;
      maxRangeWaitMs?: number;
      limits?: Partial<ExecutorLimits>;
    } = {},
  ) {
    const memory = new MemoryStore();
    const { owned = ['a', 'z'], maxInflightEntries = 100, maxRangeWaitMs = 0 } = options;
    super({ pipelineDepth: 8, maxInflightEntries, maxRangeWaitMs, ...options.limits }, memory, {
      ownsEverything: owned === 'all',
    });
    this.memory = memory;
    if (owned === 'all') return;
    this.raft.apply(encodeSpan(hlcTimestamp(1n), { kind: 'assign', ...range(...owned), epoch: 1 }));
  }

  async answer<Answer>(promise: Promise<Answer>): Promise<Answer> {
    let isDone = false;
    const answer = promise.finally(() => {
      isDone = true;
    });
    answer.catch(() => undefined);
    for (let round = 0; round < 100 && !isDone; round++) {
      this.settle();
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
    assert.ok(isDone, 'an answer comes');
    return answer;
  }

  command(request: SpanRequest): Promise<SpanReply> {
    return this.answer(this.executor.spans.command(request));
  }

  async done(...requests: readonly SpanRequest[]): Promise<SpanReply> {
    let reply: SpanReply | undefined;
    for (const request of requests) {
      reply = await this.command(request);
      assert.equal(reply.outcome.kind, 'done', request.kind);
    }
    return reply!;
  }

  clear(start: string, end: string): Outcome<void> {
    return this.run((view) => view.deleteRange(bytes(start), bytes(end)));
  }

  scan(start: string, end: string, limit = 100) {
    return this.answer(this.executor.scan({ start: bytes(start), end: bytes(end), limit }));
  }

  async keys(start: string, end: string, limit?: number): Promise<[string[], string | undefined]> {
    const { rows, next } = await this.scan(start, end, limit);
    return [rows.map(({ key }) => key.toString('latin1')), next?.toString('latin1')];
  }

  async captured(from = START, maxBytes = 1e6): Promise<[string[], CapturePoint, boolean]> {
    const page = await this.answer(this.executor.spans.captured(1, from, maxBytes));
    return [page.versions.map(show), page.next, page.isEnd];
  }
}

export const show = ({ key, value }: ExportedVersion): string => `${key.toString()}=${value?.toString() ?? '-'}`;
export const isBusy = (outcome: Outcome<unknown>): void =>
  assert.ok(outcome.error instanceof RangeBusyError, `${outcome.error}`);
export const isElsewhere = (outcome: Outcome<unknown>, hint: number | undefined): void => {
  assert.ok(outcome.error instanceof NotOwnerError, `${outcome.error}`);
  assert.equal(outcome.error.hint, hint);
};
