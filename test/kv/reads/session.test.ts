/** Functions that find out what they read as they go, over what the replicas of a node have. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReadAtReply, ReadAtRequest } from '../../../src/kv/contract/reads.ts';
import type { KeyView, LiveValue } from '../../../src/kv/contract/view.ts';
import { ReadSession, type SessionSource } from '../../../src/kv/reads/session.ts';
import { groupId, type HlcTimestamp, hlcTimestamp } from '../../../src/platform/index.ts';

const GROUP = groupId(2);
const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));
const bytes = (text: string): Buffer => Buffer.from(text);

/** A chain of rows: each names the next. */
class Source implements SessionSource {
  closed = 10;
  /** Keys that the replica cannot answer for. */
  readonly refused = new Set<string>();
  readonly asked: string[][] = [];
  readonly rows = new Map<string, string>();
  now = 0;

  elapsedMs(): number {
    return 1_000;
  }

  private valueOf(key: Buffer, at: number): LiveValue | undefined {
    const value = this.rows.get(key.toString());
    return value === undefined ? undefined : { value: bytes(`${value}@${at}`), expireTs: ts(0), commitTs: ts(1) };
  }

  readNow(_group: typeof GROUP, keys: readonly Buffer[]) {
    this.now++;
    if (keys.some((key) => this.refused.has(key.toString()))) return undefined;
    const servedTs = ts(this.closed);
    return { values: keys.map((key) => this.valueOf(key, this.closed)), servedTs, coveredMs: 1_000 };
  }

  async readAt(request: ReadAtRequest): Promise<ReadAtReply> {
    assert.ok('keys' in request);
    const { consistency, keys } = request;
    this.asked.push(keys.map(String));
    const at = consistency.kind === 'exact' ? Number(consistency.ts) : this.closed;
    // Time goes on between one read and the next.
    this.closed++;
    return {
      values: keys.map((key) => this.valueOf(key, at)),
      page: undefined,
      servedTs: ts(at),
      stalenessMs: 0,
      token: '',
      isReplica: true,
    };
  }
}

function chainOf(length: number): Source {
  const source = new Source();
  for (let at = 0; at < length; at++) source.rows.set(`k${at}`, at + 1 < length ? `k${at + 1}` : 'end');
  return source;
}

/** Follows the chain, and says at which moments its rows were. */
function follow(view: KeyView): string {
  const moments = new Set<string>();
  let links = 0;
  for (let name = 'k0'; name !== 'end'; links++) {
    const [next, at] = view.get(bytes(name))!.value.toString().split('@') as [string, string];
    moments.add(at);
    name = next;
  }
  return `${links} links at ${[...moments].join()}`;
}

describe('a function over a session of reads', () => {
  test('is answered at once by a replica that has all that it comes to', () => {
    const source = chainOf(30);
    const session = new ReadSession(source, 10_000);
    assert.deepEqual(session.evaluateNow(GROUP, [bytes('k0')], follow), { reply: '30 links at 10' });
    assert.equal(source.asked.length, 0);
  });

  test('is not answered at once when the replica lacks a row, or has moved on meanwhile', () => {
    const source = chainOf(30);
    const session = new ReadSession(source, 10_000);
    source.refused.add('k7');
    assert.equal(session.evaluateNow(GROUP, [bytes('k0')], follow), undefined);
    source.refused.clear();
    const moving = (view: KeyView): string => {
      view.get(bytes('k0'));
      source.closed++;
      return follow(view);
    };
    assert.equal(session.evaluateNow(GROUP, [bytes('k0')], moving), undefined);
  });

  test('is not answered at once when it reads more than a turn has time for', () => {
    const source = chainOf(5_000);
    assert.equal(new ReadSession(source, 10_000).evaluateNow(GROUP, [bytes('k0')], follow), undefined);
    assert.ok(source.now < 4_200);
  });

  test('is answered as of one moment although its rows come one after the other', async () => {
    const source = chainOf(20);
    const session = new ReadSession(source, 10_000);
    assert.deepEqual(await session.evaluate(GROUP, [bytes('k0')], 1, follow), { reply: '20 links at 10' });
    assert.equal(source.asked.length, 20);
  });

  test('gets all that it says it will read in one round', async () => {
    const source = chainOf(20);
    const session = new ReadSession(source, 10_000);
    const prefetching = (view: KeyView): string => {
      view.prefetch?.(Array.from({ length: 20 }, (_, at) => bytes(`k${at}`)));
      return follow(view);
    };
    assert.deepEqual(await session.evaluate(GROUP, [bytes('k0')], 1, prefetching), { reply: '20 links at 10' });
    assert.deepEqual(
      source.asked.map(({ length }) => length),
      [1, 19],
    );
  });

  test('leaves to the leader what finds more than one turn is for', async () => {
    const source = chainOf(1);
    const session = new ReadSession(source, 10_000);
    const finding = (count: number) => (view: KeyView) => {
      view.prefetch?.(Array.from({ length: count }, (_, at) => bytes(`found ${at}`)));
      return 'read';
    };
    assert.deepEqual(await session.evaluate(GROUP, [bytes('k0')], 1, finding(20_000)), { reply: 'read' });
    source.asked.length = 0;
    assert.equal(await session.evaluate(GROUP, [bytes('k0')], 1, finding(20_001)), undefined);
    assert.equal(source.asked.length, 1, 'what is too much is not read');
  });

  test('gives up after so many rounds, and says what went wrong when it fails by itself', async () => {
    const session = new ReadSession(chainOf(300), 10_000);
    assert.equal(await session.evaluate(GROUP, [bytes('k0')], 1, follow), undefined);
    const failing = (): never => {
      throw new RangeError('no');
    };
    await assert.rejects(session.evaluate(GROUP, [], 1, failing), RangeError);
    assert.throws(() => session.evaluateNow(GROUP, [], failing), RangeError);
  });
});
