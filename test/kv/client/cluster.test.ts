import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { storageKey, storageRange } from '../../../src/adapter/grpc/keys/storage-keys.ts';
import { KvCluster } from '../../../src/kv/client/cluster.ts';
import { decodeMessage, encodeAnswer, encodePage, KV_SERVICE } from '../../../src/kv/client/codec.ts';
import { evaluateStep, type KvStep } from '../../../src/kv/client/operations.ts';
import { NotOwnerError } from '../../../src/kv/contract/errors.ts';
import type { KeyStretch, KvService } from '../../../src/kv/contract/service.ts';
import type { KeyView } from '../../../src/kv/contract/view.ts';
import {
  type GroupId,
  groupId,
  hlcTimestamp,
  SeededRandom,
  SystemClock,
  SystemScheduler,
} from '../../../src/platform/index.ts';
import { OutcomeUnknownError, TooLargeError } from '../../../src/raftengine/errors.ts';

const ONE = groupId(1);
const TWO = groupId(2);

/** Groups as maps behind a directory that may be wrong; fails on request. */
class Groups {
  border = storageKey(Buffer.from('m'));
  /** Where the keys really are. */
  truth = storageKey(Buffer.from('m'));
  readonly asked: GroupId[] = [];
  readonly failures: Error[] = [];
  readonly rows = new Map<string, Buffer>();
  private now = 1n;

  private ownerOf(key: Buffer, border: Buffer): GroupId {
    return Buffer.compare(key, border) < 0 ? ONE : TWO;
  }

  readonly kv = {
    nodeId: 1,
    groupOf: (key: Buffer) => this.ownerOf(key, this.border),
    stretchAt: (key: Buffer): KeyStretch =>
      this.ownerOf(key, this.border) === ONE ? { group: ONE, end: this.border } : { group: TWO, end: undefined },
    servesLocally: () => false,
    forward: (
      group: GroupId,
      service: string,
      payload: Buffer,
      _deadlineMs: number,
      done: (error: Error | undefined, reply: Buffer | undefined) => void,
    ) => {
      assert.equal(service, KV_SERVICE);
      this.asked.push(group);
      const message = decodeMessage(payload);
      assert.equal(message.group, group);
      try {
        const failure = this.failures.shift();
        if (failure !== undefined) throw failure;
        done(undefined, message.kind === 'step' ? this.step(group, message.step) : this.page(group, message.page));
      } catch (error) {
        done(error as Error, undefined);
      }
    },
  } as unknown as KvService;

  private owned(group: GroupId, key: Buffer): string {
    const owner = this.ownerOf(key, this.truth);
    if (owner !== group) throw new NotOwnerError(owner);
    return key.toString('latin1');
  }

  private step(group: GroupId, step: KvStep): Buffer {
    const ts = hlcTimestamp(this.now++);
    const view: KeyView = {
      ts,
      get: (key) => {
        const value = this.rows.get(this.owned(group, key));
        return value === undefined ? undefined : { value, commitTs: ts, expireTs: hlcTimestamp(0n) };
      },
      put: (key, value) => {
        if (value.toString() === 'huge') throw new TooLargeError('huge');
        this.rows.set(this.owned(group, key), value);
      },
      delete: (key) => this.rows.delete(this.owned(group, key)),
      deleteRange: (start, end) => {
        this.owned(group, start);
        for (const name of [...this.rows.keys()]) {
          const key = Buffer.from(name, 'latin1');
          if (Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0) this.rows.delete(name);
        }
      },
    };
    return encodeAnswer(evaluateStep(view, step));
  }

  private page(
    group: GroupId,
    { start, end, limit, reverse }: { start: Buffer; end: Buffer; limit: number; reverse?: boolean },
  ): Buffer {
    this.owned(group, start);
    const own = group === ONE && Buffer.compare(this.truth, end) < 0 ? this.truth : end;
    assert.ok(reverse !== true || own === end);
    const keys = [...this.rows.keys()].sort().map((name) => Buffer.from(name, 'latin1'));
    const inside = keys.filter((key) => Buffer.compare(key, start) >= 0 && Buffer.compare(key, own) < 0);
    if (reverse) inside.reverse();
    const rows = inside.slice(0, limit).map((key) => ({
      key,
      value: this.rows.get(key.toString('latin1'))!,
      commitTs: hlcTimestamp(1n),
      expireTs: hlcTimestamp(0n),
    }));
    const isCut = inside.length > limit;
    const next = isCut ? (reverse ? rows.at(-1)!.key : inside[limit]) : own === end ? undefined : own;
    return encodePage({ rows, next, readTs: hlcTimestamp(this.now++) });
  }

  readonly cluster = new KvCluster({
    kv: this.kv,
    clock: new SystemClock(),
    scheduler: new SystemScheduler(),
    random: new SeededRandom(1),
  });
}

const put = (key: string, value = key) =>
  ({ kind: 'put', key: storageKey(Buffer.from(key)), value: Buffer.from(value), ttlMs: 0 }) as const;
const get = (key: string) => ({ kind: 'get', key: storageKey(Buffer.from(key)) }) as const;
const forever = Number.POSITIVE_INFINITY;
const letters = [...'abcdefghijklmnopqrstuvwxyz'];

async function scanned(
  groups: Groups,
  options: { reverse?: boolean; limit?: number },
  onPage = (): void => undefined,
): Promise<string> {
  const { reverse = false, limit } = options;
  let text = '';
  let at: Buffer | undefined;
  const range = storageRange(Buffer.alloc(0), undefined);
  const pages = groups.cluster.scan(range, { limit, reverse, keysOnly: false }, forever, new AbortController().signal);
  for await (const { rows, start, end } of pages) {
    const expected = at ?? (reverse ? range.end : range.start);
    assert.deepEqual(reverse ? end : start, expected, 'a page begins where the one before ended');
    at = reverse ? start : end;
    text += rows.map(({ value }) => value.toString()).join('');
    onPage();
  }
  return text;
}

describe('what is asked of the keys of a cluster', () => {
  test('follows a group that names the next owner', async () => {
    const groups = new Groups();
    groups.truth = storageKey(Buffer.from('c'));
    await groups.cluster.one(put('d'), forever);
    assert.deepEqual(groups.asked, [ONE, TWO]);
  });

  test('is not sent again when it may have happened, unless it only reads', async () => {
    const groups = new Groups();
    groups.failures.push(new OutcomeUnknownError('lost'));
    await assert.rejects(groups.cluster.one(put('a'), forever), { code: 'OUTCOME_UNKNOWN' });
    assert.equal(groups.asked.length, 1);
    groups.failures.push(new OutcomeUnknownError('lost'));
    assert.deepEqual((await groups.cluster.one(get('a'), forever)).result, { kind: 'get', value: undefined });
    assert.equal(groups.asked.length, 3);
  });

  test('never says of a read that it may have happened', async () => {
    const groups = new Groups();
    groups.failures.push(...Array.from({ length: 1_000 }, () => new OutcomeUnknownError('lost')));
    await assert.rejects(groups.cluster.one(get('a'), groups.cluster.deadline(30)), {
      code: 'LEADER_UNAVAILABLE',
      disposition: 'wait',
    });
  });

  test('ends with the last refusal at its deadline', async () => {
    const groups = new Groups();
    groups.failures.push(...Array.from({ length: 1_000 }, () => new NotOwnerError(undefined)));
    await assert.rejects(groups.cluster.one(put('a'), groups.cluster.deadline(30)), { code: 'NOT_OWNER' });
    assert.ok(groups.asked.length < 20, 'it must not storm the group');
  });

  test('is refused as a step of several groups', async () => {
    const groups = new Groups();
    const step = { conditions: [], success: [put('a'), put('z')], failure: [] };
    await assert.rejects(groups.cluster.step(step, forever), { code: 'CROSS_GROUP' });
    assert.deepEqual(groups.asked, []);
  });

  test('succeeds for all keys of a batch but those that cannot be written', async () => {
    const groups = new Groups();
    const outcomes = await groups.cluster.batch([put('a'), put('b', 'huge'), put('z'), put('c')], forever);
    assert.deepEqual(
      outcomes.map(({ error }) => error?.code),
      [undefined, 'TOO_LARGE', undefined, undefined],
    );
    assert.deepEqual([...groups.rows.keys()].sort(), ['ka', 'kc', 'kz']);
  });

  test('is divided anew when a batch meets a border that the directory did not know', async () => {
    const groups = new Groups();
    groups.truth = storageKey(Buffer.from('c'));
    const writing = groups.cluster.batch([put('a'), put('b'), put('d'), put('e')], forever);
    groups.border = groups.truth;
    for (const { error } of await writing) assert.equal(error, undefined);
    assert.equal(groups.rows.size, 4);
  });

  test('leaves no hole in a scan whose border moves between pages, either way', async () => {
    for (const reverse of [false, true]) {
      const groups = new Groups();
      await groups.cluster.batch(
        letters.map((key) => put(key)),
        forever,
      );
      const wanted = reverse ? [...letters].reverse().join('') : letters.join('');
      assert.equal(await scanned(groups, { reverse }), wanted);
      assert.equal(await scanned(groups, { reverse, limit: 16 }), wanted.slice(0, 16));
      let pages = 0;
      const moved = await scanned(groups, { reverse }, () => {
        if (++pages > 1) return;
        groups.border = storageKey(Buffer.from(reverse ? 'f' : 't'));
        groups.truth = groups.border;
      });
      assert.equal(moved, wanted);
    }
  });

  test('goes on where a page ended, at its limit or at the end of what a group really has', async () => {
    const many = letters.flatMap((one) => letters.map((other) => one + other));
    for (const reverse of [false, true]) {
      const groups = new Groups();
      await groups.cluster.batch(
        many.map((key) => put(key)),
        forever,
      );
      if (!reverse) groups.truth = storageKey(Buffer.from('f'));
      else groups.truth = groups.border = storageKey(Buffer.from('b'));
      assert.equal(await scanned(groups, { reverse }), (reverse ? [...many].reverse() : many).join(''));
    }
  });

  test('says when a range was deleted in part only', async () => {
    const groups = new Groups();
    await groups.cluster.batch([put('a'), put('z')], forever);
    const range = storageRange(Buffer.alloc(0), undefined);
    groups.failures.push(new OutcomeUnknownError('lost'));
    await assert.rejects(groups.cluster.deleteRange(range, forever), { code: 'OUTCOME_UNKNOWN' });
    const deleting = groups.cluster.deleteRange(range, forever);
    assert.equal((await deleting).parts, 2);
    assert.equal(groups.rows.size, 0);
  });
});
