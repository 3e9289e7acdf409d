import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type CatalogQuestion,
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  encodeRefusal,
} from '../../../src/cluster/catalog/codec.ts';
import { CatalogMessageError, LostResultError } from '../../../src/cluster/catalog/errors.ts';
import { decodeFounding, encodeFounding, type FoundingConfiguration } from '../../../src/cluster/catalog/founding.ts';
import type { ClusterState } from '../../../src/distribution/contract/cluster-types.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { groupId, hlcTimestamp, nodeId } from '../../../src/platform/index.ts';
import { NotLeaderError } from '../../../src/raftengine/errors.ts';

const plain = { noNullPrototype: true } as const;
const record = <Shape extends object>(shape: { [Key in keyof Shape]: fc.Arbitrary<Shape[Key]> }): fc.Arbitrary<Shape> =>
  fc.record(shape, plain) as fc.Arbitrary<Shape>;
const buffers = fc.uint8Array({ maxLength: 40 }).map((part) => Buffer.from(part));
const numbers = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const timestamps = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(hlcTimestamp);
const nodes = fc.integer({ min: 1, max: 65_535 }).map(nodeId);
const groups = fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(groupId);
const report = record({
  nodeId: nodes,
  incarnation: buffers,
  address: fc.string(),
  locality: fc.string({ unit: 'grapheme' }),
  capabilities: timestamps,
  leaderCount: numbers,
  replicaCount: numbers,
  storedBytes: numbers,
});
const requests = fc.oneof(
  record({
    kind: fc.constant('split' as const),
    expectedVersion: numbers,
    routeId: numbers,
    splitKey: buffers,
    splitAtTs: timestamps,
  }),
  record({
    kind: fc.constant('batchSplit' as const),
    expectedVersion: numbers,
    batchId: buffers,
    items: fc.array(record({ routeId: numbers, splitKey: buffers }), { maxLength: 300 }),
    splitAtTs: timestamps,
  }),
  record({
    kind: fc.constant('createGroup' as const),
    id: fc.option(groups, { nil: undefined }),
    founders: fc.array(nodes),
    preferredLeader: fc.option(nodes, { nil: undefined }),
  }),
  record({
    kind: fc.constant('leaseWork' as const),
    name: fc.string(),
    node: nodes,
    incarnation: buffers,
    leaseMs: numbers,
    progress: fc.option(buffers, { nil: undefined }),
  }),
);
const questions: fc.Arbitrary<CatalogQuestion> = fc.oneof(
  record({ kind: fc.constant('run' as const), request: requests, isRepeat: fc.boolean() }),
  fc.constant({ kind: 'jobs' as const }),
  fc.constant({ kind: 'document' as const }),
  record({
    kind: fc.constant('heartbeat' as const),
    node: report,
    has: record({ incarnation: numbers, revision: numbers }),
  }),
);

const golden = JSON.parse(readFileSync(new URL('messages.golden.json', import.meta.url), 'utf8')) as {
  readonly heartbeat: string;
  readonly state: string;
};
const NODE = {
  nodeId: nodeId(1),
  incarnation: Buffer.from('life'),
  address: 'a:1',
  locality: 'rack',
  capabilities: 15n,
  leaderCount: 1,
  replicaCount: 2,
  storedBytes: 3,
};
const STATE: ClusterState = {
  revision: 9,
  nodes: [{ ...NODE, revision: 8, heartbeatMs: 1_700_000_000_000 }],
  groups: [
    {
      id: groupId(1),
      revision: 1,
      founders: [nodeId(1)],
      state: 'ACTIVE',
      preferredLeader: undefined,
      createdMs: 4,
      requestId: Buffer.from('request'),
    },
  ],
  settings: [{ name: 'autosplit', revision: 2, value: 'on' }],
  features: [{ name: 'ranges.move', activatedMs: 5 }],
  work: [
    {
      name: 'gc/1',
      revision: 3,
      holder: nodeId(1),
      incarnation: Buffer.from('life'),
      leaseUntilMs: 6,
      progress: Buffer.from('notes'),
    },
  ],
  removed: [{ nodeId: nodeId(2), incarnation: 'ff' }],
};

const GOLDEN =
  '0183a46b696e64a372756ea77265717565737485a46b696e64a573706c6974af657870656374656456657273696f6e03a772' +
  '6f757465496404a873706c69744b6579c4016ba973706c697441745473d30000010000000000a86973526570656174c3';

const isMessageError = (error: unknown): boolean => error instanceof CatalogMessageError;

describe('what nodes and the catalog say to each other', () => {
  test('comes out as it went in, with buffers, large numbers and what is absent', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const encoded = encodeQuestion(question);
        const decoded = decodeQuestion(encoded);
        encoded.fill(0xff);
        assert.deepEqual(decoded, question, 'and keeps nothing of the frame');
      }),
    );
    for (const answer of [undefined, [], { version: 3, revision: 2n ** 63n, rows: [Buffer.alloc(3, 7), undefined] }]) {
      assert.deepEqual(decodeAnswer(encodeAnswer(answer)), answer);
    }
  });

  test('brings refusals out as what they were, and leaves other errors to the proxy', () => {
    const items = [{ index: 2, code: 'ROUTE_BUSY', message: 'a job has it' }] as const;
    const refusal = encodeRefusal(new CatalogError('BATCH_REJECTED', 'one cannot be made', items));
    assert.throws(
      () => decodeAnswer(refusal!),
      (error: unknown) =>
        error instanceof CatalogError &&
        error.code === 'BATCH_REJECTED' &&
        error.message === 'one cannot be made' &&
        error.items[0]?.code === 'ROUTE_BUSY',
    );
    const busy = encodeRefusal(new CatalogError('ROUTE_BUSY', 'wait'))!;
    assert.throws(() => decodeAnswer(busy), { code: 'ROUTE_BUSY', disposition: 'wait' });
    assert.throws(() => decodeAnswer(encodeRefusal(new LostResultError('split'))!), LostResultError);
    assert.equal(encodeRefusal(new NotLeaderError(undefined)), undefined);
  });

  test('is refused when it is cut, of another program or says nothing', () => {
    const whole = encodeQuestion({ kind: 'run', request: { kind: 'activateFeature', name: 'x' }, isRepeat: false });
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeQuestion(whole.subarray(0, length)), isMessageError);
    }
    assert.throws(() => decodeQuestion(Buffer.concat([Buffer.of(9), whole.subarray(1)])), isMessageError);
    for (const odd of [encodeAnswer(1), Buffer.from([1, 0xc0]), Buffer.from([1, 0x05])]) {
      assert.throws(() => decodeQuestion(odd), isMessageError);
    }
    assert.throws(() => decodeAnswer(encodeQuestion({ kind: 'jobs' })), isMessageError);
    const restore = { kind: 'run', request: { kind: 'restore', incarnation: 9 }, isRepeat: false };
    assert.throws(() => decodeQuestion(encodeQuestion(restore as unknown as CatalogQuestion)), isMessageError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        try {
          decodeQuestion(Buffer.concat([Buffer.of(1), noise]));
        } catch (error) {
          assert.ok(isMessageError(error));
        }
      }),
    );
  });

  test('has bytes that stay the same from one program to the next', () => {
    const question = encodeQuestion({
      kind: 'run',
      request: {
        kind: 'split',
        expectedVersion: 3,
        routeId: 4,
        splitKey: Buffer.from('k'),
        splitAtTs: hlcTimestamp(1n << 40n),
      },
      isRepeat: true,
    });
    assert.equal(question.toString('hex'), GOLDEN);
    const heartbeat = { kind: 'heartbeat', node: NODE, has: { incarnation: 5, revision: 6 } } as const;
    assert.equal(encodeQuestion(heartbeat).toString('hex'), golden.heartbeat);
    // Fields go by their names: one that is renamed in the sources is another one to nodes of before.
    assert.equal(encodeAnswer({ incarnation: 5, document: STATE }).toString('hex'), golden.state);
    assert.deepEqual(decodeAnswer(Buffer.from(golden.state, 'hex')), { incarnation: 5, document: STATE });
  });
});

test('the stored founding configuration comes out as it went in', () => {
  const founding: FoundingConfiguration = {
    incarnation: 1_700_000_000_000,
    groups: [
      {
        id: groupId(1),
        founders: [nodeId(1), nodeId(2)],
        preferredLeader: undefined,
        ranges: [{ start: Buffer.alloc(0), end: Buffer.from('m') }],
      },
      {
        id: groupId(2),
        founders: [nodeId(3)],
        preferredLeader: nodeId(3),
        ranges: [{ start: Buffer.from('m'), end: undefined }],
      },
    ],
  };
  const encoded = encodeFounding(founding);
  assert.deepEqual(decodeFounding(encoded), founding);
  encoded[0] = 2;
  assert.throws(() => decodeFounding(encoded), { code: 'FOUNDING_REFUSED' });
});
